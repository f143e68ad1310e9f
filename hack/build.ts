// Bundles the code that runs in pods and on users' machines: a bundled function starts in half the time.
// Writes build/bundles: dormouse-<step>.mjs for each function, mover.mjs, mover-worker.mjs, dormouse.mjs (the command
// line) and chunk-*.mjs, which several of them share or load on demand. Keep the files of the folder together. Native packages
// are not bundled: they are found in node_modules in this folder or above it.

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { build, type Metafile } from 'esbuild'
import { quickStart } from './bundling.ts'

const TARGET = 'build/bundles'
/** A process that was started from the previous bundles may still load one of their chunks. */
const CHUNK_STAYS_MS = 600_000

/** Maps each bundle's name to its entry point; only existing files. */
function entryPoints(): Record<string, string> {
  const functions = readdirSync('functions').map((step) => [`dormouse-${step}`, `functions/${step}/main.ts`] as const)
  const others = [
    ['mover', 'shared/movers/process/main.ts'],
    ['mover-worker', 'shared/movers/process/worker.ts'],
    ['dormouse', 'cli/main.ts'],
  ] as const
  return Object.fromEntries([...functions, ...others].filter(([, file]) => existsSync(file)))
}

/** Writes atomically, because a function may be starting from the file. An unchanged file keeps its time. */
function put(name: string, text: string): void {
  const file = join(TARGET, name)
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return
  writeFileSync(`${file}.${process.pid}`, text)
  renameSync(`${file}.${process.pid}`, file)
}

/** A bundle whose source was removed must not be run by accident. */
function removeStale(names: Set<string>): void {
  for (const name of readdirSync(TARGET)) {
    const file = join(TARGET, name)
    const young = Date.now() - statSync(file).mtimeMs < CHUNK_STAYS_MS
    if (!names.has(name) && !(young && name.startsWith('chunk-'))) rmSync(file)
  }
}

/** Bytes that Node reads before the first line of the bundle runs: the bundle and every chunk that it imports statically. */
function bytesAtStart({ outputs }: Metafile, file: string): number {
  const read = new Set([file])
  for (const one of read) {
    for (const { path, kind, external } of outputs[one]?.imports ?? []) {
      if (kind === 'import-statement' && external !== true) read.add(path)
    }
  }
  return [...read].reduce((sum, one) => sum + (outputs[one]?.bytes ?? 0), 0)
}

const entries = entryPoints()
if (Object.keys(entries).length === 0) throw new Error('nothing to bundle: no functions/*/main.ts')
const made = await build({
  ...quickStart,
  entryPoints: entries,
  outdir: TARGET,
  chunkNames: 'chunk-[hash]',
  write: false,
  metafile: true,
  logLevel: 'warning',
})
mkdirSync(TARGET, { recursive: true })
for (const { path, text } of made.outputFiles ?? []) put(basename(path), text)
removeStale(new Set(made.outputFiles?.map(({ path }) => basename(path))))
for (const name of Object.keys(entries).sort()) {
  const kib = Math.round(bytesAtStart(made.metafile as Metafile, `${TARGET}/${name}.mjs`) / 1024)
  console.log(`${String(kib).padStart(6)} KiB read at start  ${TARGET}/${name}.mjs`)
}
