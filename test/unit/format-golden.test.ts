import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import { readRetiredPacks } from '#shared/repository/core/retired.ts'
import { decodeSlot } from '#shared/repository/format/decode-slot.ts'
import { unwrapSlot } from '#shared/repository/format/key-slot.ts'
import { openObject } from '#shared/repository/format/sealed-object.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, bytesOf, CHUNK_BYTES, EngineWorld, FCD } from '#test/support/engine-world.ts'
import { exampleChunk, formatExample } from '#test/support/format-example.ts'
import { exampleObjects, fillExample } from '#test/support/format-example-page.ts'
import { EXAMPLE_PASSWORD, exampleText, secondExample } from '#test/support/format-example-second.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('format: golden bytes')
const FIXTURE = 'test/fixtures/format/v1'
const CAPACITY_BYTES = 40 * CHUNK_BYTES + 512

type Expected = {
  recoveryPassphrase: string
  backups: { root: string; sha256: string }[]
  stopped: { session: string; sha256: string }
  retired: string
}

const expected: Expected = JSON.parse(readFileSync(join(FIXTURE, 'expected.json'), 'utf8'))

/** The repository that was written when format 1 was frozen. */
function frozenRepository(): MemoryObjectStore {
  const folder = join(FIXTURE, 'repository')
  const store = new MemoryObjectStore()
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    store.objects.set(path.slice(folder.length + 1), { body: readFileSync(path), modifiedMs: 0 })
  }
  return store
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

async function restoredHash(world: EngineWorld, root: string): Promise<string> {
  const target = new MemoryDiskContent(CAPACITY_BYTES)
  assert.is((await world.restoreSlice(target, root)).state, 'done')
  return sha256(bytesOf(target))
}

test('every backup in the first repository of format 1 can be restored', async () => {
  const world = new EngineWorld(frozenRepository())
  assert.is((await world.repositories.backupsOf(access, FCD)).length, expected.backups.length)
  for (const backup of expected.backups) assert.is(await restoredHash(world, backup.root), backup.sha256)
  assert.equal(world.warnings, [])
})

test('its recovery passphrase opens it, and its retire list is read', async () => {
  const repository = await requireRepository(frozenRepository(), expected.recoveryPassphrase)
  assert.equal([...(await readRetiredPacks(repository))], [expected.retired])
})

test('its stopped session goes on from its checkpoint', async () => {
  const world = new EngineWorld(frozenRepository())
  const content = new MemoryDiskContent(CAPACITY_BYTES, CHUNK_BYTES)
  for (const fill of [2, 21, 3]) {
    applyChanges(content, [
      { kind: 'write', sector: fill * 3, sectors: 100, fill },
      { kind: 'write', sector: 320, sectors: 1, fill: fill + 30 },
    ])
  }
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 321, fill: 25 }])
  assert.is(sha256(bytesOf(content)), expected.stopped.sha256, 'the disk is the one that was stopped')
  const { session } = expected.stopped
  const outcome = await world.uploadSlice({ content, session, snapshotId: 'snapshot-stopped', slice: 2 })
  assert.is(outcome.state, 'sealed')
  assert.is(outcome.progress.bytesRead, CAPACITY_BYTES, 'what was read before is not read again')
  assert.is(await restoredHash(world, `roots/${session}`), expected.stopped.sha256)
})

test('the worked example in the documents has the bytes that the code makes', () => {
  const page = readFileSync('docs/format/example.md', 'utf8')
  assert.is(fillExample(page), page, 'node test/support/make-format-example.ts writes what is new')
  const facts = [...Object.entries(formatExample().facts), ...Object.entries(secondExample().facts)]
  for (const [name, value] of facts) assert.ok(page.includes(`\`${value}\``), `${name}: ${value}`)
})

test('a page that lacks a block of the example, or has one too many, is not filled', () => {
  const page = readFileSync('docs/format/example.md', 'utf8')
  assert.throws(() => fillExample(page.replace('<!-- bytes: index -->', '')), /does not show index/)
  assert.throws(() => fillExample(`${page}\n<!-- bytes: index -->\n\`\`\`\n\`\`\`\n`), /shows them twice/)
})

test('the key slot of the example opens with its password', async () => {
  const { keys } = formatExample()
  const { name, bytes } = exampleObjects().find(({ block }) => block === 'key slot')!
  const key = await unwrapSlot(name.slice('keys/'.length), decodeSlot(bytes)!, EXAMPLE_PASSWORD)
  assert.equal(Buffer.from(key!), Buffer.from(keys.master))
})

test('both backups of the example can be restored', async () => {
  const { repository, facts } = secondExample()
  const store = new MemoryObjectStore()
  for (const [key, body] of repository) store.objects.set(key, { body, modifiedMs: 0 })
  const world = new EngineWorld(store)
  const target = new MemoryDiskContent(1_048_576)
  const options = { repository: { ...access, password: EXAMPLE_PASSWORD } }
  for (const session of [formatExample().session, facts['session']!]) {
    const zeros = Buffer.alloc(262_144)
    const second = session === facts['session'] ? exampleText() : zeros
    assert.is((await world.restoreSlice(target, `roots/${session}`, options)).state, 'done')
    assert.is(sha256(bytesOf(target)), sha256(Buffer.concat([zeros, second, exampleChunk(), zeros])))
  }
  assert.equal(world.warnings, [])
})

test('the example chunk has the hash that its description gives it', () => {
  assert.is(sha256(exampleChunk().subarray(0, 64)), sha256(Buffer.concat([sha(0), sha(1)])))
})

test('a sealed object of the example opens with nothing but its keys', () => {
  const { objects, keys, facts } = formatExample()
  const { bytes } = objects.find(({ name }) => name.startsWith('session/'))!
  const payload = openObject(keys, 'session', `session/${facts['session']}`, bytes, 'example')
  assert.is(Buffer.from(payload).toString('utf8', 4), '{"version":1,"startedMs":1700000000000}')
})

function sha(number: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(number)
  return createHash('sha256').update(bytes).digest()
}

test.run()
