// Notes of a survey are trusted no more than the roots and pages that they describe, and are deleted when no prune needs them.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DAY_MS, HOUR_MS } from '#shared/kernel/units.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { reachKey, reachNoteKind, sessionInKey } from '#shared/repository/format/names.ts'
import {
  openPageNotes,
  openRootNotes,
  PageNotes,
  type RootNote,
  RootNotes,
} from '#shared/repository/format/reach-notes.ts'
import { openRoot, sealRoot } from '#shared/repository/format/root.ts'
import { pruneRepository, unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { access, FCD } from '#test/support/engine-world.ts'
import { copyOf, type LongRepository, longRepository } from '#test/support/long-repository.ts'
import { keysOf, prune, restores } from '#test/support/prune-world.ts'
import { reasonOf } from '#test/support/reason.ts'
import { HookedStore } from '#test/support/store-faults.ts'
import { CallClock, TickingStore } from '#test/support/ticking-store.ts'

const test = suite('engine: notes of a prune')

/** Surveyed to the end in slices, so that there is a note for every existing root and every page. */
const ground = longRepository(6, ['s1', 's4']).then(async (long) => {
  const clock = new CallClock()
  const store = new TickingStore(long.store, () => clock.tick())
  for (let n = 0; n < 20; n++) {
    const options = { clock, sliceMs: 60, sessionIdleMs: DAY_MS }
    if ((await pruneRepository({ ...long.repository, store }, options)).state === 'done') break
  }
  long.times.nowMs += 2 * HOUR_MS
  return long
})

const notesOf = (long: LongRepository, kind: 'pages' | 'roots') =>
  keysOf(long.store, 'reach/').filter((key) => reachNoteKind(key) === kind)

function rootNotes({ objects, repository }: LongRepository): Map<string, RootNote[]> {
  const keys = [...objects.keys()].filter((key) => reachNoteKind(key) === 'roots')
  return new Map(keys.map((key) => [key, openRootNotes(repository.keys, key, objects.get(key)!.body, key)]))
}

async function callsOfPrune(long: LongRepository): Promise<number> {
  const clock = new CallClock()
  const store = new TickingStore(long.store, () => clock.tick())
  await prune({ ...long.repository, store }, { clock, sliceMs: HOUR_MS })
  return clock.calls
}

async function assertWhole(long: LongRepository): Promise<void> {
  for (const [root, content] of long.contents) assert.ok(await restores(long.world, root, content), root)
  assert.equal(await unreachableObjects(long.repository), [])
}

test('there is a note for every existing root and every page', async () => {
  const long = await ground
  const noted = [...rootNotes(long).values()].flat()
  for (const root of long.contents.keys()) assert.ok(noted.some(({ session }) => `roots/${session}` === root))
  assert.ok(notesOf(long, 'pages').length > 0)
  assert.ok((await callsOfPrune(copyOf(long))) < 120)
})

for (const harm of ['cut off', 'changed', 'moved to another name', 'of the other kind', 'too large', 'gone'] as const) {
  test(`notes that are ${harm} cost time and nothing else`, async () => {
    const long = copyOf(await ground)
    await long.world.repositories.forget(access, FCD, 's0')
    long.contents.delete([...long.contents.keys()][0]!)
    for (const [n, key] of keysOf(long.store, 'reach/').entries()) {
      const { body, modifiedMs } = long.objects.get(key)!
      const put = (name: string, bytes: Uint8Array) => long.objects.set(name, { body: bytes, modifiedMs })
      long.objects.delete(key)
      const other = String(n).padStart(16, '0')
      const kind = reachNoteKind(key)!
      const flipped = Uint8Array.from(body, (byte, at) => (at === 100 ? byte ^ 1 : byte))
      if (harm === 'cut off') put(key, body.subarray(0, 60))
      if (harm === 'changed') put(key, flipped)
      if (harm === 'moved to another name') put(reachKey(kind, other), body)
      if (harm === 'of the other kind') put(reachKey(kind === 'pages' ? 'roots' : 'pages', other), body)
      if (harm === 'too large') put(key, Buffer.concat([body, Buffer.alloc(16 * 2 ** 20)]))
    }
    const forgotten = [...(await ground).contents.keys()][0]!
    const packs = keysOf(long.store, `packs/${sessionInKey(forgotten)}/`).length
    assert.is((await prune(long.repository)).state, 'done')
    assert.ok(packs > 0)
    await assertWhole(long)
  })
}

test('a note of a backup that was forgotten keeps nothing', async () => {
  const long = copyOf(await ground)
  const before = keysOf(long.store, 'packs/').length
  for (const snapshot of ['s0', 's2']) await long.world.repositories.forget(access, FCD, snapshot)
  for (const root of [...long.contents.keys()].slice(0, 2)) long.contents.delete(root)
  await prune(long.repository)
  assert.ok(keysOf(long.store, 'packs/').length < before)
  await assertWhole(long)
})

test('a note of a root that was moved out of the bucket keeps nothing, once its session is given up', async () => {
  const long = copyOf(await ground)
  const [root = ''] = long.contents.keys()
  long.objects.delete(root)
  long.contents.delete(root)
  long.times.nowMs += 2 * DAY_MS
  assert.equal((await prune(long.repository)).fenced, [sessionInKey(root)])
  await assertWhole(long)
})

test('a root that replaces the one in a note is read', async () => {
  for (const isSameTime of [false, true]) {
    const long = copyOf(await ground)
    const { keys } = long.repository
    const [small = '', large = ''] = [...long.contents.keys()].slice(2)
    const session = sessionInKey(small)!
    const open = (key: string) => openRoot(keys, sessionInKey(key)!, long.objects.get(key)!.body, key)
    // As a holder of that session that was thought dead would seal it, with the packs of a backup that is deleted then.
    const sealed = sealRoot(keys, session, { ...open(small), pages: open(large).pages })
    const { modifiedMs } = long.objects.get(small)!
    long.objects.set(small, { body: sealed, modifiedMs: isSameTime ? modifiedMs : modifiedMs + 1 })
    long.contents.set(small, long.contents.get(large)!)
    const { snapshotId: snapshot } = blockSourceOf(open(large), large)
    await long.world.repositories.forget(access, FCD, snapshot)
    long.contents.delete(large)
    await prune(long.repository)
    if (!isSameTime || sealed.length !== (await ground).objects.get(small)!.body.length) await assertWhole(long)
  }
})

test('a root so young that another one could have its time is known again by its bytes', async () => {
  const long = copyOf(await longRepository(3, []))
  long.times.nowMs -= HOUR_MS // makes the roots as young as possible
  const clock = new CallClock()
  const store = new TickingStore(long.store, () => clock.tick())
  const options = { clock, sliceMs: 40, sessionIdleMs: DAY_MS }
  for (let n = 0; n < 9; n++) await pruneRepository({ ...long.repository, store }, options)
  const noted = [...rootNotes(long).values()].flat()
  assert.ok(noted.length > 0)
  for (const note of noted) assert.is(note.modifiedMs, undefined, note.session)
  const { keys } = long.repository
  const [first = '', second = ''] = long.contents.keys()
  const open = (key: string) => openRoot(keys, sessionInKey(key)!, long.objects.get(key)!.body, key)
  const { source } = open(first)
  const { modifiedMs, body } = long.objects.get(first)!
  for (let n = 0, isEqual = false; !isEqual; n++) {
    const other = sealRoot(keys, sessionInKey(first)!, { ...open(second), source })
    long.objects.set(first, { body: other, modifiedMs })
    isEqual = other.length === body.length || n > 50
  }
  long.contents.set(first, long.contents.get(second)!)
  await long.world.repositories.forget(access, FCD, blockSourceOf(open(second), second).snapshotId)
  long.contents.delete(second)
  await prune(long.repository)
  await assertWhole(long)
})

test('a note about a root whose pages are not noted is not believed', async () => {
  const long = copyOf(await ground)
  for (const key of notesOf(long, 'pages')) long.objects.delete(key)
  await long.world.repositories.forget(access, FCD, 's0')
  long.contents.delete([...long.contents.keys()][0]!)
  await prune(long.repository)
  await assertWhole(long)
})

test('a pack that only notes name must exist as well', async () => {
  const long = copyOf(await ground)
  const [first] = long.contents.keys()
  const named = [...rootNotes(long).values()].flat().find(({ session }) => `roots/${session}` === first)!
  long.objects.delete(`packs/${named.packs[0]}`)
  await long.world.repositories.forget(access, FCD, 's5')
  const before = keysOf(long.store)
  assert.is(await reasonOf(prune(long.repository)), 'PackMissing')
  assert.equal(keysOf(long.store), before)
})

test('a missing pack is reported for any existing backup that names it, although others are deleted meanwhile', async () => {
  for (const standing of (await ground).contents.keys()) {
    const long = copyOf(await ground)
    const [first] = long.contents.keys()
    // A pack of chunks that all later backups name as well.
    const named = [...rootNotes(long).values()].flat().find(({ session }) => `roots/${session}` === first)!
    const [gone = ''] = keysOf(long.store, `packs/${named.session}/`).filter(
      (key) => !named.packs.includes(key.slice('packs/'.length)),
    )
    long.objects.delete(gone)
    const store = new AskedStore(long.store, gone, async () => {
      for (const [n, root] of [...long.contents.keys()].entries()) {
        if (root !== standing) await long.world.repositories.forget(access, FCD, ['s0', 's2', 's3', 's5'][n]!)
      }
    })
    assert.is(await reasonOf(prune({ ...long.repository, store })), 'PackMissing', standing)
  }
})

/** Reports when an object is asked for the first time, before it answers. */
class AskedStore extends HookedStore {
  #asked: (() => Promise<void>) | undefined
  readonly #key: string

  constructor(inner: ObjectStore, key: string, asked: () => Promise<void>) {
    super(inner, async () => 'go on')
    this.#key = key
    this.#asked = asked
  }

  override async getRange(key: string, offset: number, length: number, signal?: AbortSignal) {
    const asked = key === this.#key ? this.#asked : undefined
    if (asked !== undefined) this.#asked = undefined
    await asked?.()
    return await super.getRange(key, offset, length, signal)
  }
}

test('notes of which little still applies are written anew, and are deleted when no backup exists', async () => {
  const long = copyOf(await ground)
  const bytes = () => keysOf(long.store, 'reach/').reduce((sum, key) => sum + long.objects.get(key)!.body.length, 0)
  const before = bytes()
  for (const snapshot of ['s0', 's2', 's3']) await long.world.repositories.forget(access, FCD, snapshot)
  for (const root of [...long.contents.keys()].slice(0, 3)) long.contents.delete(root)
  await prune(long.repository)
  assert.ok(bytes() < before / 2, `${bytes()} of ${before} bytes`)
  assert.ok((await callsOfPrune(long)) < 120, 'what stands is noted still')
  await assertWhole(long)
  await long.world.repositories.forget(access, FCD, 's5')
  long.times.nowMs += 2 * HOUR_MS
  await prune(long.repository)
  await prune(long.repository)
  assert.equal(keysOf(long.store, 'packs/'), [])
  assert.equal(notesOf(long, 'pages'), [])
})

test('a young note is left alone: another prune may be at work with it', async () => {
  const long = copyOf(await ground)
  const { keys } = long.repository
  const pages = new PageNotes()
  pages.add(Buffer.alloc(16, 9), [`${sessionInKey([...long.contents.keys()][0]!)}/00000000000000ff`])
  const key = reachKey('pages', '00000000000000aa')
  await long.store.putIfAbsent(key, pages.seal(keys, '00000000000000aa'))
  await prune(long.repository)
  assert.ok(long.objects.has(key))
  long.times.nowMs += HOUR_MS + 1
  await prune(long.repository)
  assert.not.ok(long.objects.has(key))
})

test('a note is read back as it was written', async () => {
  const { keys } = (await ground).repository
  const [session = ''] = [...(await ground).contents.keys()].map((key) => sessionInKey(key) ?? '')
  const packs = [`${session}/0000000000000001`, `${session}/0000000000000002`]
  const pages = new PageNotes()
  pages.add(Buffer.alloc(16, 1), packs)
  pages.add(Buffer.alloc(16, 2), [packs[1]!])
  const pagesKey = reachKey('pages', '0123456789abcdef')
  const opened = openPageNotes(keys, pagesKey, pages.seal(keys, '0123456789abcdef'), 'x')
  assert.equal(opened.packs, packs)
  assert.equal(
    opened.pages.map(({ packs: named }) => [...named]),
    [[0, 1], [1]],
  )
  const roots = new RootNotes()
  const needs = { version: 1, requiredFeatures: ['one'] }
  const note = { session, digest: 'd', bytes: 7, modifiedMs: 9, needs, packs, pages: Buffer.alloc(32, 3) }
  roots.add(note)
  roots.add({ session, digest: 'e', bytes: 8, why: 'idle', packs: [], pages: Buffer.alloc(0) })
  const rootsKey = reachKey('roots', '0123456789abcdef')
  const [first, second] = openRootNotes(keys, rootsKey, roots.seal(keys, '0123456789abcdef'), 'x')
  assert.equal([first?.packs, first?.modifiedMs, first?.pages.length, first?.needs], [packs, 9, 32, needs])
  assert.equal([second?.why, second?.packs], ['idle', []])
})

async function planted(count: number, bytes: number) {
  const long = copyOf(await ground)
  for (let n = 0; n < count; n++) {
    const key = reachKey(n % 4 === 0 ? 'roots' : 'pages', n.toString(16).padStart(16, '0'))
    long.objects.set(key, { body: Buffer.alloc(bytes, 1), modifiedMs: long.times.nowMs })
  }
  return long
}

for (const [count, bytes] of [
  [2000, 10],
  [200, 2 ** 20],
] as const) {
  test(`${count} planted notes of ${bytes} bytes hold no slice up for long, and go in a few`, async () => {
    const long = await planted(count, bytes)
    let slices = 0
    for (let state = 'more'; state !== 'done'; slices++) {
      const clock = new CallClock()
      const store = new TickingStore(long.store, () => clock.tick())
      const report = await pruneRepository({ ...long.repository, store }, { clock, sliceMs: 10, sessionIdleMs: DAY_MS })
      assert.ok(clock.calls < 700, `${clock.calls} calls`)
      assert.ok(slices < 40, `${slices} slices, ${report.state}, ${keysOf(long.store, 'reach/').length} notes`)
      state = report.state
    }
    for (let n = 0; n < 20 && keysOf(long.store, 'reach/').length > 40; n++) await prune(long.repository)
    assert.ok(keysOf(long.store, 'reach/').length <= 40)
    await assertWhole(long)
  })
}

test('a slice that is killed early has joined some of many planted notes', async () => {
  const long = await planted(2000, 10)
  let calls = 0
  const store = new TickingStore(long.store, () => {
    if (++calls > 700) throw new Error('killed')
  })
  await prune({ ...long.repository, store }).catch(() => undefined)
  assert.ok(keysOf(long.store, 'reach/').length < 1900)
})

test('a dry run deletes no note that it cannot read', async () => {
  const long = await planted(100, 10)
  const before = keysOf(long.store)
  await prune(long.repository, { dryRun: true })
  assert.equal(keysOf(long.store), before)
})

test.run()
