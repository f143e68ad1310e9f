// Gives every fence (rule of the linters) a file that it must stop: a fence without such a test may have no effect. The files are put into a
// folder of their own, with copies of the checkout's settings; each tool checks all of them in one run.

import { spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const fences = suite('fences')

/** For each folder: an import that its fence stops, and one that it allows. */
const IMPORTS: [file: string, stopped: string, passes: string][] = [
  ['shared/api/x.ts', '#shared/kernel/units.ts', './kinds.ts'],
  ['shared/kernel/x.ts', '#shared/api/kinds.ts', './units.ts'],
  ['shared/kernel/sdk.ts', '@aws-sdk/client-s3', 'node:net'],
  ['shared/domain/x.ts', 'node:fs', '#shared/kernel/units.ts'],
  ['shared/domain/adapter.ts', '#shared/adapters/kube/cluster.ts', '#shared/api/kinds.ts'],
  ['shared/repository/format/x.ts', 'node:fs', 'node:crypto'],
  ['shared/repository/format/domain.ts', '#shared/domain/ids.ts', '#shared/kernel/units.ts'],
  ['shared/ports/x.ts', '#shared/repository/core/pack-set.ts', '#shared/domain/ids.ts'],
  ['shared/repository/x.ts', '#shared/repository/stores/s3/store.ts', './core/repository.ts'],
  ['shared/repository/core/x.ts', '#shared/repository/stores/s3/store.ts', '#shared/ports/object-store.ts'],
  ['shared/repository/core/block.ts', '#shared/movers/block/upload.ts', './repository.ts'],
  ['shared/repository/core/maintenance.ts', '#shared/repository/maintenance/prune.ts', './seal.ts'],
  ['shared/repository/core/sdk.ts', 'koffi', '#shared/repository/format/pack.ts'],
  ['shared/repository/maintenance/x.ts', '#shared/movers/block/upload.ts', '#shared/repository/core/repository.ts'],
  ['shared/repository/maintenance/sdk.ts', '@aws-sdk/client-s3', '#shared/repository/format/pack.ts'],
  ['shared/repository/stores/folder/x.ts', '@aws-sdk/client-s3', '#shared/ports/object-store.ts'],
  ['shared/repository/stores/folder/other.ts', '../s3/settings.ts', './settings.ts'],
  [
    'shared/repository/stores/folder/engine.ts',
    '#shared/repository/core/repository.ts',
    '#shared/domain/store-rules.ts',
  ],
  [
    'shared/repository/stores/s3/other.ts',
    '#shared/repository/stores/folder/store.ts',
    '#shared/adapters/net/trust.ts',
  ],
  ['shared/repository/stores/s3/step.ts', '#shared/controllers/lease.ts', '#shared/kernel/units.ts'],
  ['shared/repository/stores/x.ts', '@aws-sdk/client-s3', './s3/kind.ts'],
  ['shared/repository/stores/engine.ts', '#shared/repository/core/repository.ts', '#shared/ports/stores.ts'],
  ['shared/providers/file/x.ts', '#shared/repository/stores/registry.ts', '#shared/ports/disk.ts'],
  ['shared/movers/block/x.ts', '#shared/providers/vddk/disk.ts', '#shared/ports/disk.ts'],
  ['shared/movers/block/process.ts', '#shared/movers/process/client.ts', '#shared/repository/core/repository.ts'],
  ['shared/movers/block/sdk.ts', 'koffi', '#shared/repository/format/pack.ts'],
  ['shared/controllers/x.ts', '#shared/adapters/kube/cluster.ts', '#shared/ports/cluster.ts'],
  ['shared/controllers/sdk.ts', '@kubernetes/client-node', './lease.ts'],
  ['shared/runtime/x.ts', '#shared/controllers/work-lease.ts', 'express'],
  ['shared/wiring/x.ts', '@aws-sdk/client-s3', '#shared/repository/stores/registry.ts'],
  ['shared/wiring/store.ts', '#shared/repository/stores/s3/store.ts', '#shared/repository/stores/open.ts'],
  ['shared/movers/process/x.ts', 'koffi', '#shared/providers/vddk/disk.ts'],
  ['shared/movers/process/store.ts', '#shared/repository/stores/folder/store.ts', '#shared/repository/stores/open.ts'],
  ['cli/x.ts', 'koffi', 'commander'],
  ['functions/upload/handler.ts', '../download/handler.ts', '#shared/ports/mover.ts'],
  ['functions/upload/adapter.ts', '#shared/adapters/kube/cluster.ts', './handler.ts'],
  ['functions/upload/sdk.ts', '@kubernetes/client-node', '#shared/domain/upload.ts'],
  ['functions/upload/main.ts', '@aws-sdk/client-s3', '#shared/wiring/light.ts'],
  ['functions/download/main.ts', '../upload/handler.ts', './handler.ts'],
  ['functions/sweep/main.ts', '#shared/repository/stores/registry.ts', '#shared/wiring/light.ts'],
  ['velero/domain/x.ts', 'node:fs', '#shared/domain/ids.ts'],
  ['velero/domain/actions.ts', '../actions/backupper.ts', './names.ts'],
  ['velero/domain/port.ts', '#shared/ports/cluster.ts', '#shared/api/kinds.ts'],
  ['velero/actions/x.ts', '#shared/adapters/kube/cluster.ts', '#shared/ports/cluster.ts'],
  ['velero/actions/sdk.ts', '@kubernetes/client-node', '../domain/names.ts'],
  ['velero/actions/wire.ts', '../host/server.ts', '../actions.ts'],
  ['shared/providers/vsphere/x.ts', 'express', 'saxes'],
  ['shared/adapters/memory/x.ts', '@aws-sdk/client-s3', '#shared/ports/disk.ts'],
  ['shared/repository/stores/s3/x.ts', '@kubernetes/client-node', '@aws-sdk/client-s3'],
  ['shared/adapters/kube/x.ts', '@aws-sdk/client-s3', '@kubernetes/client-node'],
  ['shared/providers/vddk/x.ts', '@kubernetes/client-node', 'koffi'],
  ['velero/wire.ts', '@kubernetes/client-node', '#shared/adapters/kube/cluster.ts'],
  ['velero/store.ts', '#shared/repository/stores/s3/store.ts', '#shared/repository/stores/registry.ts'],
  ['velero/host/x.ts', '#shared/adapters/kube/cluster.ts', '@grpc/grpc-js'],
  ['velero/host/action.ts', '../actions/backup.ts', '../actions.ts'],
  ['velero/host/domain.ts', '#shared/domain/protobuf.ts', '#shared/kernel/errors.ts'],
  ['velero/host/codec.ts', '@kubernetes/client-node', 'protobufjs/light.js'],
  ['velero/host/node.ts', 'express', 'node:fs'],
  ['velero/actions/x.ts', '@grpc/grpc-js', '../actions.ts'],
  ['velero/actions/host.ts', '../host/codec.ts', '#shared/ports/cluster.ts'],
  ['velero/actions/codec.ts', 'protobufjs/light.js', './backup.ts'],
  ['velero/actions/sdk.ts', '@kubernetes/client-node', '#shared/api/kinds.ts'],
]

/** What the other rules stop: tool, rule, file, text. */
const RULES: [tool: Tool, rule: string, file: string, text: string][] = [
  ['biome', 'format', 'shared/kernel/format.ts', 'export const a  = 1\n'],
  ['biome', 'lint/correctness/useImportExtensions', 'shared/kernel/extension.ts', "export * from './good'\n"],
  ['biome', 'lint/correctness/noUnusedImports', 'shared/kernel/unused.ts', "import { a } from './good.ts'\n"],
  ['biome', 'lint/suspicious/noImportCycles', 'shared/kernel/cycle-a.ts', "export { b } from './cycle-b.ts'\n"],
  ['biome', 'lint/suspicious/noFocusedTests', 'test/unit/only.test.ts', "test.only('a', () => {})\n"],
  ['biome', 'lint/suspicious/noSkippedTests', 'test/unit/skip.test.ts', "test.skip('a', () => {})\n"],
  ['biome', 'lint/style/noNonNullAssertion', 'shared/kernel/assertion.ts', 'export const a = process.env.A!\n'],
  ['biome', 'lint/suspicious/noExplicitAny', 'shared/kernel/any.ts', 'export const a: any = 1\n'],
  ['oxlint', 'typescript(no-floating-promises)', 'shared/kernel/floating.ts', 'Promise.resolve(1)\n'],
  [
    'oxlint',
    'typescript(no-misused-promises)',
    'shared/kernel/misused.ts',
    'export const a = (ask: () => Promise<boolean>) => (ask() ? 1 : 2)\n',
  ],
  ['oxlint', 'typescript(await-thenable)', 'shared/kernel/await.ts', 'export const a = await 1\n'],
  [
    'oxlint',
    'typescript(switch-exhaustiveness-check)',
    'shared/kernel/switch.ts',
    "export function a(phase: 'New' | 'Done'): void {\n  switch (phase) {\n    case 'New':\n      break\n  }\n}\n",
  ],
  ['tsc', 'TS2322', 'shared/kernel/type.ts', "export const a: number = 'x'\n"],
  ['tsc', 'TS2532', 'shared/kernel/index.ts', 'export const a = (all: string[]) => all[0].length\n'],
  ['tsc', 'TS1294', 'shared/kernel/enum.ts', 'export enum Phase {\n  New,\n}\n'],
]

type Tool = 'biome' | 'oxlint' | 'tsc'
type Finding = { tool: Tool; rule: string; file: string }

function importOf(specifier: string): string {
  return `import * as imported from '${specifier}'\n\nexport const used = imported\n`
}

function plant(dir: string): void {
  for (const name of ['biome.json', '.oxlintrc.json', 'tsconfig.json', 'package.json'])
    copyFileSync(name, join(dir, name))
  symlinkSync(resolve('node_modules'), join(dir, 'node_modules'))
  const put = (file: string, text: string) => {
    mkdirSync(dirname(join(dir, file)), { recursive: true })
    writeFileSync(join(dir, file), text)
  }
  for (const [file, stopped, passes] of IMPORTS) {
    put(file, importOf(stopped))
    put(passing(file), importOf(passes))
  }
  for (const [, , file, text] of RULES) put(file, text)
  put('shared/kernel/cycle-b.ts', "export { b } from './cycle-a.ts'\n")
  put('shared/kernel/good.ts', 'export const a = 1\n')
}

/** The same place with an import that is allowed there. main.ts has a rule of its own, by name, in each function. */
function passing(file: string): string {
  return file.endsWith('/main.ts') ? file.replace(/functions\/\w+/, '$&-passes') : file.replace('.ts', '-passes.ts')
}

async function output(dir: string, program: string, ...rest: string[]): Promise<string> {
  const child = spawn(program, rest, { cwd: dir, stdio: ['ignore', 'pipe', 'ignore'] })
  let text = ''
  for await (const bytes of child.stdout) text += bytes
  return text
}

async function biome(dir: string): Promise<Finding[]> {
  const text = await output(
    dir,
    'biome',
    'check',
    '--vcs-enabled=false',
    '--max-diagnostics=none',
    '--reporter=json',
    '.',
  )
  const { diagnostics } = JSON.parse(text) as { diagnostics: { category: string; location: { path: string } }[] }
  return diagnostics.map(({ category, location }) => ({ tool: 'biome', rule: category, file: location.path }))
}

async function oxlint(dir: string): Promise<Finding[]> {
  const text = await output(dir, 'oxlint', '--type-aware', '--no-ignore', '--format=json', '.')
  const { diagnostics } = JSON.parse(text) as { diagnostics: { code: string; filename: string }[] }
  return diagnostics.map(({ code, filename }) => ({ tool: 'oxlint', rule: code, file: filename }))
}

async function tsc(dir: string): Promise<Finding[]> {
  const lines = (await output(dir, 'tsc', '--noEmit', '--pretty', 'false')).matchAll(
    /^([^(\n]+)\(.*?\): error (TS\d+)/gm,
  )
  return [...lines].map(([, file = '', rule = '']) => ({ tool: 'tsc', rule, file }))
}

let found: Finding[] = []

fences.before(async () => {
  // Outside of the checkout: inside, its .gitignore would hide the folder from oxlint.
  const dir = mkdtempSync(join(tmpdir(), 'fences-'))
  try {
    plant(dir)
    found = (await Promise.all([biome(dir), oxlint(dir), tsc(dir)])).flat()
  } finally {
    rmSync(dir, { recursive: true })
  }
})

function stops(tool: Tool, rule: string, file: string): boolean {
  return found.some((finding) => finding.tool === tool && finding.rule === rule && finding.file === file)
}

for (const [file, stopped, passes] of IMPORTS) {
  const rule = 'lint/style/noRestrictedImports'
  fences(`${file} may not import ${stopped}, but may ${passes}`, () => {
    assert.ok(stops('biome', rule, file), 'not stopped')
    assert.not.ok(stops('biome', rule, passing(file)), 'stopped what is allowed')
  })
}

for (const [tool, rule, file] of RULES) {
  fences(`${tool} stops ${file} by ${rule}`, () => {
    const seen = found.filter((finding) => finding.file === file).map((finding) => `${finding.tool} ${finding.rule}`)
    assert.ok(stops(tool, rule, file), `it found: ${seen.join(', ') || 'nothing'}`)
  })
}

fences.run()
