// Which folder may import what: ARCHITECTURE.md's table “Who may import whom” is an allow-list, and this holds the code to it. Biome's rules
// (fences.test.ts) tell editors of the worst imports only.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Import, importsOf } from '../support/imports.ts'

const rooms = suite('rooms')

const TYPES = ' (types)'
const PAGE = 'ARCHITECTURE.md'

/**
 * For each room what its files may import besides each other: rooms, single files, packages and modules of Node, as the page has it. A room is one
 * folder without those below it, or one file. `functions/<x>` is the same function; `(types)`: nothing that is left at run time.
 */
const ROOMS: Readonly<Record<string, readonly string[]>> = readRooms(readFileSync(PAGE, 'utf8'))

function readRooms(page: string): Record<string, string[]> {
  const [, section = ''] = page.split('## Who may import whom\n')
  const rows = [...section.split('\n## ')[0]!.matchAll(/^\| `([^`]+)` \|([^|]+)\|/gm)]
  return Object.fromEntries(rows.map(([, room = '', cell = '']) => [room, entriesIn(cell)]))
}

function entriesIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`( \(types\))?/g)].map(([, name = '', types = '']) => inShared(name) + types)
}

/** The page leaves out `shared/` in the second column. */
function inShared(name: string): string {
  return existsSync(`shared/${name}`) ? `shared/${name}` : name
}

function roomOf(file: string): string {
  if (file in ROOMS) return file
  const [, name] = /^functions\/[^/]+\/([^/]+)$/.exec(file) ?? []
  if (name === undefined) return dirname(file)
  return name === 'main.ts' ? 'functions/<x>/main.ts' : 'functions/<x>'
}

/** A path in the checkout; of a package only its name. */
function targetOf(file: string, specifier: string): { path: string } | { name: string } {
  if (specifier.startsWith('#')) return { path: normalize(specifier.slice(1)) }
  if (specifier.startsWith('.')) return { path: join(dirname(file), specifier) }
  if (specifier.startsWith('node:')) return { name: specifier }
  return { name: /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier }
}

const isOther = (file: string, target: string): boolean =>
  target.startsWith('functions/') && dirname(target) !== dirname(file)

/** The entry of the room's row that lets `file` import that; undefined: none does. `itself`: it is in the same room. */
function allows(file: string, { specifier, isType }: Import): string | undefined {
  const room = roomOf(file)
  const target = targetOf(file, specifier)
  if ('path' in target && isOther(file, target.path)) return undefined
  if ('path' in target && roomOf(target.path) === room) return room in ROOMS ? 'itself' : undefined
  const names = 'path' in target ? [target.path, roomOf(target.path)] : [target.name]
  const fits = (entry: string) => names.includes(entry.replace(TYPES, '')) && (isType || !entry.endsWith(TYPES))
  return ROOMS[room]?.find(fits)
}

function complaint(file: string, { specifier, isType }: Import): string {
  const room = roomOf(file)
  const target = targetOf(file, specifier)
  const what = 'name' in target ? target.name : isOther(file, target.path) ? dirname(target.path) : roomOf(target.path)
  const words = isType ? 'a type of ' : ''
  return `${file} imports '${specifier}', ${words}${what}: the row '${room}' of “Who may import whom” in ${PAGE} does not allow it`
}

const FILES = ['shared', 'functions', 'cli', 'velero'].flatMap((top) =>
  readdirSync(top, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.[cm]?[jt]sx?$/.test(name))
    .map((name) => join(top, name)),
)

const IMPORTS = FILES.flatMap((file) => importsOf(file, readFileSync(file, 'utf8')).map((one) => ({ file, one })))

rooms('each file is in a room', () => {
  assert.ok(FILES.length > 300, 'the files are found')
  const lost = FILES.filter((file) => !(roomOf(file) in ROOMS)).map(
    (file) => `${file}: “Who may import whom” in ${PAGE} has no row '${roomOf(file)}'`,
  )
  assert.equal(lost, [])
})

rooms('each import is allowed', () => {
  assert.ok(IMPORTS.length > 1500, 'the imports are found')
  const refused = IMPORTS.filter(({ file, one }) => roomOf(file) in ROOMS && allows(file, one) === undefined)
  assert.equal(
    refused.map(({ file, one }) => complaint(file, one)),
    [],
  )
})

rooms('each entry of a row is needed', () => {
  const used = new Set(IMPORTS.map(({ file, one }) => `${roomOf(file)} ← ${allows(file, one)}`))
  const unused = Object.entries(ROOMS).flatMap(([room, row]) =>
    row.map((entry) => `${room} ← ${entry}`).filter((entry) => !used.has(entry)),
  )
  assert.equal(unused, [], `take them from “Who may import whom” in ${PAGE}`)
})

rooms('the page has the rows of the table', () => {
  assert.ok(Object.keys(ROOMS).length > 25, Object.keys(ROOMS).join())
  for (const [room, row] of Object.entries(ROOMS)) assert.is(new Set(row).size, row.length, `${room} names one twice`)
})

const value = (specifier: string): Import => ({ specifier, isType: false })
const type = (specifier: string): Import => ({ specifier, isType: true })

const REFUSED: [file: string, one: Import][] = [
  ['shared/api/x.ts', value('#shared/kernel/units.ts')],
  ['shared/kernel/x.ts', value('node:fs')],
  ['shared/kernel/x.ts', value('pino')],
  ['shared/domain/x.ts', value('node:crypto')],
  ['shared/domain/x.ts', type('#shared/ports/cluster.ts')],
  ['shared/ports/x.ts', value('#shared/controllers/lease.ts')],
  ['shared/controllers/x.ts', value('#shared/runtime/serve.ts')],
  ['shared/controllers/x.ts', type('#shared/runtime/ref.ts')],
  ['shared/controllers/x.ts', value('#shared/repository/core/repository.ts')],
  ['shared/repository/core/x.ts', value('node:fs')],
  ['shared/repository/core/x.ts', value('fs')],
  ['shared/repository/core/x.ts', value('@grpc/grpc-js')],
  ['shared/repository/core/x.ts', value('../maintenance/prune.ts')],
  ['shared/repository/maintenance/x.ts', value('#shared/movers/block/upload.ts')],
  ['shared/repository/stores/s3/x.ts', value('../folder/store.ts')],
  ['shared/movers/block/x.ts', value('#shared/wiring/light.ts')],
  ['shared/movers/block/x.ts', value('../process/client.ts')],
  ['shared/movers/process/x.ts', value('#shared/repository/stores/registry.ts')],
  ['shared/movers/files/x.ts', value('#shared/kernel/units.ts')],
  ['shared/movers/files/x.ts', value('./y.ts')],
  ['shared/domain/below/x.ts', value('../ids.ts')],
  ['shared/adapters/net/x.ts', value('#shared/controllers/lease.ts')],
  ['shared/adapters/net/x.ts', value('@kubernetes/client-node')],
  ['shared/providers/vsphere/x.ts', value('koffi')],
  ['shared/runtime/x.ts', value('#shared/wiring/light.ts')],
  ['shared/wiring/x.ts', value('#shared/repository/stores/s3/store.ts')],
  ['shared/wiring/x.ts', value('#test/support/stores.ts')],
  ['functions/upload/prepare.ts', value('#shared/movers/block/upload.ts')],
  ['functions/upload/prepare.ts', value('#shared/repository/core/repository.ts')],
  ['functions/upload/prepare.ts', value('#shared/runtime/serve.ts')],
  ['functions/upload/prepare.ts', value('#shared/wiring/light.ts')],
  ['functions/upload/prepare.ts', value('../download/handler.ts')],
  ['functions/upload/prepare.ts', value('./main.ts')],
  ['functions/upload/prepare.ts', value('./below/x.ts')],
  ['functions/upload/main.ts', value('../download/main.ts')],
  ['functions/upload/main.ts', value('#shared/adapters/kube/cluster.ts')],
  ['cli/prune.ts', value('#shared/movers/block/upload.ts')],
  ['cli/prune.ts', value('../functions/sweep/handler.ts')],
  ['velero/domain/x.ts', value('../actions/deps.ts')],
  ['velero/actions/x.ts', value('../actions.ts')],
  ['velero/actions/x.ts', value('#shared/controllers/lease.ts')],
  ['velero/host/x.ts', value('#shared/domain/protobuf.ts')],
  ['velero/wire.ts', value('#shared/repository/stores/open.ts')],
  ['velero/wire.ts', value('#shared/ports/../wiring/light.ts')],
  ['velero/wire.ts', value('name')],
]

for (const [file, one] of REFUSED)
  rooms(`${file} may not import ${one.isType ? 'a type of ' : ''}${one.specifier}`, () => {
    assert.is(allows(file, one), undefined)
    for (const part of [file, one.specifier, `'${roomOf(file)}'`, 'ARCHITECTURE.md'])
      assert.ok(complaint(file, one).includes(part), part)
  })

rooms('what a row names is allowed', () => {
  assert.is(allows('shared/controllers/x.ts', value('#shared/ports/cluster.ts')), 'shared/ports')
  assert.is(allows('shared/domain/x.ts', value('./ids.ts')), 'itself')
  assert.is(allows('functions/upload/prepare.ts', value('./outcomes.ts')), 'itself')
  assert.is(allows('functions/upload/prepare.ts', type('#shared/runtime/ref.ts')), 'shared/runtime (types)')
  assert.is(allows('functions/upload/main.ts', value('./handler.ts')), 'functions/<x>')
  assert.is(allows('velero/host/x.ts', value('protobufjs/light.js')), 'protobufjs')
})

rooms('every form of import is read', () => {
  const text = `
import 'a'
import b, { type B } from 'b'
import type { C } from 'c'
import { type D } from 'd'
import * as e from 'e'
export * from 'f'
export type { G } from 'g'
export { h } from 'h'
export const i = await import('i')
export const j: import('j').J = await import(e.name)
`
  const found = importsOf('x.ts', text).map(({ specifier, isType }) => (isType ? `${specifier} (types)` : specifier))
  assert.equal(found.sort(), ['a', 'b', 'c (types)', 'd (types)', 'e', 'e.name', 'f', 'g (types)', 'h', 'i', 'j'])
})

rooms.run()
