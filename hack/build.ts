// Bundles what runs in pods and on people's machines into one file each: a function is up in half the time then.
// Writes build/bundles: dormouse-<step>.mjs for each function, mover.mjs, mover-worker.mjs and dormouse.mjs (the command
// line). Native packages stay outside: they are found in node_modules beside or above the bundles.

import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { build } from 'esbuild'

const TARGET = 'build/bundles'
const NATIVE = ['koffi', '@koromix/*', '@napi-rs/*']
// What packages in the old module format ask for at run time (node:http, …) has no other way in.
const BANNER = "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);"

/** Bundle name to its first file; only what exists. */
function entryPoints(): Record<string, string> {
  const functions = readdirSync('functions').map((step) => [`dormouse-${step}`, `functions/${step}/main.ts`] as const)
  const others = [
    ['mover', 'shared/mover/main.ts'],
    ['mover-worker', 'shared/mover/worker.ts'],
    ['dormouse', 'cli/main.ts'],
  ] as const
  return Object.fromEntries([...functions, ...others].filter(([, file]) => existsSync(file)))
}

/** A bundle whose source is gone must not be run by accident. */
function removeStale(names: string[]): void {
  mkdirSync(TARGET, { recursive: true })
  for (const file of readdirSync(TARGET)) if (!names.includes(basename(file, '.mjs'))) rmSync(join(TARGET, file))
}

const entries = entryPoints()
if (Object.keys(entries).length === 0) throw new Error('nothing to bundle: no functions/*/main.ts')
removeStale(Object.keys(entries))
await build({
  entryPoints: entries,
  outdir: TARGET,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  external: NATIVE,
  banner: { js: BANNER },
  charset: 'utf8',
  logLevel: 'warning',
})
for (const name of Object.keys(entries).sort()) {
  const kib = Math.round(statSync(join(TARGET, `${name}.mjs`)).size / 1024)
  console.log(`${String(kib).padStart(6)} KiB  ${TARGET}/${name}.mjs`)
}
