// Builds Velero's plugin as one executable file: Node with the bundle inside of it (a single executable application).
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
/** Errors and log lines refer to this file name. */
const BUNDLE = 'velero-plugin.cjs'
const BLOB = 'velero-plugin.blob'
/** Node looks for a note with this name, if the last character of the other text is a 1 (node.js, single-executable-applications). */
const NOTE = 'NODE_SEA_BLOB'
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:'

/** `execArgvExtension`: NODE_OPTIONS of Velero's container is not meant for the plugin, and some options would end it. */
const SETTINGS = {
  main: BUNDLE,
  output: BLOB,
  disableExperimentalSEAWarning: true,
  useCodeCache: false,
  execArgvExtension: 'none',
}

/**
 * In a pod the plugin does not need the Kubernetes client, which only reads other kinds of kubeconfig files. Its 1.5 MB add 40 ms of CPU time
 * to each start of the plugin (120 become 160), and Velero starts it every ten seconds while it waits for an operation.
 */
const plainKubeconfigOnly: Plugin = {
  name: 'plain-kubeconfig-only',
  setup(build) {
    build.onResolve({ filter: /^\.\/kubeconfig\.ts$/ }, () => ({ path: resolve('hack/plain-kubeconfig-only.ts') }))
  },
}

/** One file that needs only Node: no chunk, no package, no native code. */
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

/** The same for each architecture: it contains neither a V8 snapshot nor a code cache. */
function makeBlob(): Buffer {
  writeFileSync(join(TARGET, 'sea.json'), JSON.stringify(SETTINGS))
  execFileSync(resolve(nodeFor(hostArchitecture())), ['--experimental-sea-config', 'sea.json'], {
    cwd: TARGET,
    stdio: 'pipe',
  })
  return readFileSync(join(TARGET, BLOB))
}

/** Writes atomically, because another process may be starting the file. */
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
