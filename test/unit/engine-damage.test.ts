import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CorruptionError, TerminalError } from '#shared/kernel/errors.ts'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, bytesOf, CHUNK_BYTES, EngineWorld, FCD } from '#test/support/engine-world.ts'
import { reasonOf } from '#test/support/reason.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: damage')

/** docs/format/bytes.md: where the head of a sealed object has its kind. */
const KIND_AT = 8
const TOMBSTONE_KIND = 0x42

const made = (async () => {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(60 * CHUNK_BYTES, CHUNK_BYTES)
  const backups: { root: string; bytes: Buffer }[] = []
  for (const fill of [7, 8]) {
    applyChanges(content, [{ kind: 'write', sector: fill * 10, sectors: 200, fill }])
    const root = await world.backup(content, `s${fill}`, {
      parentRoot: backups.at(-1)?.root,
    })
    backups.push({ root, bytes: bytesOf(content) })
  }
  return { objects: store.objects, backups, capacityBytes: content.capacityBytes }
})()

/** Restores both backups from the harmed store: each gives the right bytes or an error, never wrong bytes. */
async function checkNeverWrong(harm: (objects: MemoryObjectStore['objects']) => void): Promise<string[]> {
  const { objects, backups, capacityBytes } = await made
  const store = new MemoryObjectStore({ objects: copyOf(objects) })
  harm(store.objects)
  const reasons: string[] = []
  for (const { root, bytes } of backups) {
    const target = new MemoryDiskContent(capacityBytes)
    try {
      assert.is((await new EngineWorld(store).restoreSlice(target, root)).state, 'done')
      assert.ok(bytesOf(target).equals(bytes), 'the restore said done, but the bytes are not those of the backup')
    } catch (error) {
      if (!(error instanceof TerminalError)) throw error
      assert.match(error.message, /memory:\/\/store/, 'the message says where')
      reasons.push(error.reason)
    }
  }
  return reasons
}

function copyOf(objects: MemoryObjectStore['objects']): MemoryObjectStore['objects'] {
  return new Map([...objects].map(([key, entry]) => [key, { ...entry, body: entry.body.slice() }]))
}

test('a root whose head claims to be a tombstone counts as damaged, not as deleted', async () => {
  const { objects, backups, capacityBytes } = await made
  const [{ root } = { root: '' }] = backups
  const store = new MemoryObjectStore({ objects: copyOf(objects) })
  store.objects.get(root)!.body[KIND_AT] = TOMBSTONE_KIND
  const world = new EngineWorld(store)
  const restored = world.restoreSlice(new MemoryDiskContent(capacityBytes), root)
  assert.is(await reasonOf(restored), 'RootCorrupt')
  assert.is((await world.repositories.backupsOf(access, FCD)).length, 1)
  assert.equal(world.warnings, ['RootCorrupt'])
})

const CORRUPT = /Corrupt|Missing|KeyWrong|VersionUnknown/

test('a flipped bit anywhere gives an error or the right bytes', async () => {
  const { objects } = await made
  const keys = [...objects.keys()]
  const property = fc.asyncProperty(
    fc.nat(keys.length - 1),
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.nat(7),
    async (which, where, bit) => {
      const reasons = await checkNeverWrong((harmed) => {
        const { body } = harmed.get(keys[which]!)!
        const at = Math.min(body.length - 1, Math.floor(where * body.length))
        body[at]! ^= 1 << bit
      })
      for (const reason of reasons) assert.match(reason, CORRUPT)
    },
  )
  await fc.assert(property, { numRuns: 50 })
})

test('a cut off or missing object gives an error or the right bytes', async () => {
  const { objects } = await made
  for (const key of objects.keys()) {
    for (const part of [undefined, 0, 0.5, 0.99]) {
      const reasons = await checkNeverWrong((harmed) => {
        const entry = harmed.get(key)!
        if (part === undefined) harmed.delete(key)
        else entry.body = entry.body.slice(0, Math.floor(entry.body.length * part))
      })
      if (key.startsWith('roots/')) assert.is(reasons.length, 1, `${key} cut to ${part}`)
      for (const reason of reasons) assert.match(reason, CORRUPT)
    }
  }
})

test('objects of one kind that trade places give an error or the right bytes', async () => {
  const { objects } = await made
  const kindOf = (key: string) => key.slice(0, key.indexOf('/'))
  const keys = [...objects.keys()]
  for (const [index, first] of keys.entries()) {
    const next = keys.slice(index + 1).find((key) => kindOf(key) === kindOf(first))
    for (const second of next === undefined ? [] : [next]) {
      const reasons = await checkNeverWrong((harmed) => {
        const [a, b] = [harmed.get(first)!, harmed.get(second)!]
        harmed.set(first, b)
        harmed.set(second, a)
      })
      if (kindOf(first) === 'roots') assert.equal(reasons, ['RootCorrupt', 'RootCorrupt'])
    }
  }
})

test('an older root in place of a newer one is refused', async () => {
  const { backups } = await made
  const reasons = await checkNeverWrong((harmed) => {
    harmed.set(backups[1]!.root, harmed.get(backups[0]!.root)!)
  })
  assert.equal(reasons, ['RootCorrupt'])
})

test('another repository that uses the same password cannot lend its objects', async () => {
  const other = new MemoryObjectStore()
  const world = await EngineWorld.create(other)
  const content = new MemoryDiskContent(60 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 300, fill: 30 }])
  const foreign = await world.backup(content, 's7')
  const { backups } = await made
  const reasons = await checkNeverWrong((harmed) => {
    for (const [key, entry] of other.objects) if (key.startsWith('packs/')) harmed.set(key, entry)
    harmed.set(backups[0]!.root, other.objects.get(foreign)!)
  })
  assert.equal(reasons, ['RootCorrupt'])
})

test('corruption is an error of its own class', async () => {
  const { objects, backups, capacityBytes } = await made
  const store = new MemoryObjectStore({ objects: copyOf(objects) })
  store.objects.get(backups[0]!.root)!.body[100]! ^= 1
  try {
    await new EngineWorld(store).restoreSlice(new MemoryDiskContent(capacityBytes), backups[0]!.root)
    assert.unreachable()
  } catch (error) {
    assert.ok(error instanceof CorruptionError)
  }
})

test.run()
