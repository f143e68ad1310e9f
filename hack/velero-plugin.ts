// Builds the plugin of Velero as one executable file: Node with the bundle inside of it (a single executable application).
// Usage: node hack/velero-plugin.ts [amd64|arm64]...; without one, for this machine. Writes build/velero/<architecture>/.

import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { build, type Metafile, type Plugin } from 'esbuild'
import { PLUGIN_FILE } from '../velero/install.ts'
import { quickStart } from './bundling.ts'
import { withNote } from './elf.ts'
import { ARCHITECTURES, type Architecture, hostArchitecture, nodeFor } from './node-binary.ts'

const TARGET = 'build/velero'
/** Errors and log lines name their place by it. */
const BUNDLE = 'velero-plugin.cjs'
const BLOB = 'velero-plugin.blob'
/** Node looks for a note of this name, and does so where the last character of the other text is a 1 (node.js, single-executable-applications). */
const NOTE = 'NODE_SEA_BLOB'
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:'

/** `execArgvExtension`: NODE_OPTIONS of Velero's container is not for the plugin, and some of them would end it. */
const SETTINGS = {
  main: BUNDLE,
  output: BLOB,
  disableExperimentalSEAWarning: true,
  useCodeCache: false,
  execArgvExtension: 'none',
}

/**
 * In a pod nobody needs the Kubernetes client, which only reads kubeconfig files of every kind. Its 1.5 MB make each start of the
 * plugin 40 ms of CPU time longer (120 become 160), and an operation that is waited for is a start every ten seconds.
 */
const plainKubeconfigOnly: Plugin = {
  name: 'plain-kubeconfig-only',
  setup(build) {
    build.onResolve({ filter: /^\.\/kubeconfig\.ts$/ }, () => ({ path: resolve('hack/plain-kubeconfig-only.ts') }))
  },
}

/** One file that needs nothing but Node: no chunk, no package, nothing native. */
async function bundle(): Promise<void> {
  const { splitting, banner, outExtension, external, plugins = [], ...options } = quickStart
  const { metafile } = await build({
    ...options,
    plugins: [...plugins, plainKubeconfigOnly],
    format: 'cjs',
    entryPoints: ['velero/main.ts'],
    outfile: join(TARGET, BUNDLE),
    metafile: true,
    logLevel: 'warning',
  })
  const missing = outsideOf(metafile).filter((name) => !isBuiltin(name))
  if (missing.length > 0) throw new Error(`the plugin would have to find ${missing.join(', ')} beside it`)
}

function outsideOf({ outputs }: Metafile): string[] {
  return Object.values(outputs).flatMap(({ imports }) => imports.map(({ path }) => path))
}

/** The same for each architecture: neither a snapshot nor code that was compiled before. */
function makeBlob(): Buffer {
  writeFileSync(join(TARGET, 'sea.json'), JSON.stringify(SETTINGS))
  execFileSync(resolve(nodeFor(hostArchitecture())), ['--experimental-sea-config', 'sea.json'], {
    cwd: TARGET,
    stdio: 'pipe',
  })
  return readFileSync(join(TARGET, BLOB))
}

/** Never half a file under its name: someone may be starting it. */
function writeProgram(architecture: Architecture, blob: Buffer): string {
  const node = nodeFor(architecture)
  const program = withNote(readFileSync(node), NOTE, blob)
  const fuse = program.indexOf(`${FUSE}0`)
  if (fuse < 0 || program.indexOf(FUSE, fuse + 1) >= 0) throw new Error(`${node} is no Node that can hold a program`)
  program.write('1', fuse + FUSE.length)
  const file = join(TARGET, architecture, PLUGIN_FILE)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(`${file}.${process.pid}`, program)
  chmodSync(`${file}.${process.pid}`, 0o755)
  renameSync(`${file}.${process.pid}`, file)
  return file
}

const wanted = process.argv.length > 2 ? process.argv.slice(2) : [hostArchitecture()]
const unknown = wanted.filter((name) => !ARCHITECTURES.includes(name as Architecture))
if (unknown.length > 0) throw new Error(`no architecture ${unknown.join(', ')}: ${ARCHITECTURES.join(', ')}`)
mkdirSync(TARGET, { recursive: true })
await bundle()
const blob = makeBlob()
for (const architecture of wanted as Architecture[]) {
  const file = writeProgram(architecture, blob)
  console.log(`${Math.round(readFileSync(file).length / 1024 / 1024)} MiB  ${file}`)
}
copyFileSync(join(dirname(nodeFor(hostArchitecture())), '../LICENSE'), join(TARGET, 'LICENSE-node'))
