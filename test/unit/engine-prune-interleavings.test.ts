// The real prune, sessions, deletions and other prunes over one store, with their calls in seeded orders, deaths and long pauses.
// The nightly tier runs more orders (test/nightly/interleavings.test.ts). format-collection-model.test.ts explores the core of
// the protocol in every order; this file tests what the code does.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import { CorruptionError, DormouseError, RetryableError } from '#shared/kernel/errors.ts'
import { DAY_MS, HOUR_MS, SECTOR_BYTES } from '#shared/kernel/units.ts'
import type { Extent } from '#shared/ports/disk.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { type Repository, requireRepository } from '#shared/repository/core/repository.ts'
import { claimedKind } from '#shared/repository/format/sealed-object.ts'
import { pruneRepository, unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { Reach } from '#shared/repository/maintenance/reach.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { Random } from '#test/simulation/random.ts'
import { access, bytesOf, CHUNK_BYTES, EngineWorld, FCD, PAGE_CHUNKS } from '#test/support/engine-world.ts'
import { reasonOf } from '#test/support/reason.ts'
import { SteppedStore, Steps } from '#test/support/stepped-store.ts'
import { HookedStore, type WriteHook } from '#test/support/store-faults.ts'
import { CallClock, TickingStore } from '#test/support/ticking-store.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: prune in any order')

const SEEDS = Number(process.env['SEEDS'] ?? 60)
const SEEDS_PER_TEST = 10
/** The most calls of others before a process begins: as many as a whole prune run makes. */
const MOST_LATE_CALLS = 200
const SHORT_WHILE = 10
/** After all backups of the starting state. */
const LATER_MS = 1_800_000_000_000
const SECOND_CHANGE = { kind: 'write' as const, sector: 16, sectors: 110, fill: 9 }

/**
 * Two backups of a small volume; only index runs name what the first has and the second lacks. One process wrote the index run of the second
 * backup and died, and another one sealed it: that index run names packs that no root names, and its backup exists.
 */
async function makeGround() {
  const store = new MemoryObjectStore({ nowMs: () => 0 })
  const world = await EngineWorld.create(store)
  const first = new MemoryDiskContent(24 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(first, [{ kind: 'write', sector: 0, sectors: 150, fill: 7 }])
  const firstRoot = await world.backup(first.snapshot(), 's0')
  const second = first.snapshot()
  const changedAreas = applyChanges(second, [SECOND_CHANGE])
  const session = await world.newSession('s1')
  const dies: WriteHook = async ({ key }) => (key === `roots/${session}` ? 'die before' : 'go on')
  const request = { session, parentRoot: firstRoot, changedAreas }
  const dying = new EngineWorld(new HookedStore(store, dies)).backup(second, 's1', request)
  assert.is(await reasonOf(dying), 'StoreGone')
  for (const key of store.objects.keys()) if (key.startsWith('checkpoint/')) store.objects.delete(key)
  const secondRoot = await world.backup(second, 's1', { ...request, slice: 2 })
  return { store, world, first, firstRoot, second, secondRoot }
}
const ground = makeGround()

class World {
  readonly random: Random
  readonly steps: Steps
  readonly times = { nowMs: 1 }
  readonly objects = new Map<string, { body: Uint8Array; modifiedMs: number }>()
  readonly store: MemoryObjectStore
  readonly contents = new Map<string, MemoryDiskContent>()
  /** Packs by the root's bytes, not by its key: a process that dies while it deletes a root leaves the key free for another root. */
  readonly named = new Map<Uint8Array, ReadonlySet<string>>()
  /** Warnings of the sessions. */
  readonly messages: string[] = []
  repository: Repository | undefined
  /** How many prune runs ended without finishing their work. */
  slices = 0

  constructor(seed: number) {
    this.random = new Random(seed)
    this.steps = new Steps(this.random, [0, 0, 0.002, 0.01][this.random.below(4)] ?? 0)
    // In steps of less than a minute or more: a root that is older than a minute is recognised by its time, a younger one by its bytes.
    const stepMs = this.random.chance(0.5) ? 1 : 40_000
    const nowMs = () => {
      this.times.nowMs += stepMs
      return this.times.nowMs
    }
    this.store = new MemoryObjectStore({ objects: this.objects, nowMs })
  }

  stepped(process: string): ObjectStore {
    return new SteppedStore(this.store, this.steps, process)
  }

  /** Runs after each write: no root may name a pack that is gone. */
  async check(): Promise<void> {
    const repository = this.repository!
    for (const [key, { body }] of this.objects) {
      if (!key.startsWith('roots/') || claimedKind(body) !== 'root') continue
      if (!this.named.has(body)) this.named.set(body, await packsOf(repository, this.objects, key, body))
      for (const pack of this.named.get(body)!) {
        if (!this.objects.has(`packs/${pack}`)) throw new LostPack(`${key} names ${pack}, which is gone`)
      }
    }
  }
}

class LostPack extends Error {}

function lingersBefore(store: HookedStore, wanted: string, linger: () => Promise<void>): void {
  const list = store.list.bind(store)
  store.list = async function* (prefix, signal) {
    if (prefix === wanted) await linger()
    yield* list(prefix, signal)
  }
}

/** Touches each page, so that a backup of it writes all pages itself, and names packs of others in them. */
function touchEachPage(content: MemoryDiskContent, fill: number): Extent[] {
  const everyPage = [0, PAGE_CHUNKS * (CHUNK_BYTES / SECTOR_BYTES)]
  return applyChanges(
    content,
    everyPage.map((sector) => ({ kind: 'write' as const, sector, sectors: 8, fill })),
  )
}

async function packsOf(
  repository: Repository,
  objects: MemoryObjectStore['objects'],
  key: string,
  body: Uint8Array,
): Promise<ReadonlySet<string>> {
  const only = new MemoryObjectStore({ objects: new Map(objects) })
  for (const other of [...only.objects.keys()]) if (/^(roots|index)\//.test(other)) only.objects.delete(other)
  await only.putIfAbsent(key, body)
  const reach = new Reach({ ...repository, store: only }, { warn: () => {} })
  try {
    await reach.look({ has: () => false })
  } catch (error) {
    if (error instanceof CorruptionError) throw new LostPack(`sealed ${key} cannot be read: ${error.message}`)
    throw error
  }
  return new Set(reach.packs)
}

/** Runs a process that may be fenced or die, and must not fail in any other way. */
async function mayEnd(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    const isFenced = error instanceof DormouseError && error.reason === 'SessionFenced'
    const isTaken = error instanceof DormouseError && ['SliceTaken', 'PackTaken'].includes(error.reason)
    if (!isFenced && !isTaken && !(error instanceof RetryableError) && !(error instanceof CorruptionError)) throw error
  }
}

/** `goesOn`: B is given up half-way, and D continues from there. */
async function play(seed: number, goesOn = false): Promise<World> {
  const base = await ground
  const world = new World(seed)
  for (const [key, entry] of base.store.objects) world.objects.set(key, entry)
  world.repository = await requireRepository(world.store, access.password)
  world.contents.set(base.firstRoot, base.first).set(base.secondRoot, base.second)
  const { random } = world
  const sessions = {
    B: await base.world.newSession('B', '1', goesOn ? LATER_MS : undefined),
    C: await base.world.newSession('C'),
    D: await base.world.newSession('D', '1', LATER_MS + 1),
  }
  // In half of the seeds, C shares chunks with each of the others and writes all pages itself.
  const grown = base.first.snapshot()
  const grownAreas = random.chance(0.5) ? touchEachPage(grown, 12) : [{ offsetBytes: 0, lengthBytes: CHUNK_BYTES }]
  const contents = { B: grown.snapshot(), C: grown, D: grown }
  const changed = [{ offsetBytes: 0, lengthBytes: CHUNK_BYTES }]
  const touch = random.below(4)
  if (touch < 2) changed.push(...applyChanges(contents.B, [{ kind: 'write', sector: 100, sectors: 30, fill: 11 }]))
  if (touch === 2) changed.push(...touchEachPage(contents.B, 13))
  if (touch === 3) changed.push(...applyChanges(contents.B, [SECOND_CHANGE]))
  if (goesOn) {
    // More data than a slice moves before it is stopped.
    changed.push(...applyChanges(contents.B, [{ kind: 'write', sector: 20, sectors: 160, fill: 15 }]))
    contents.D = contents.B.snapshot()
    if (random.chance(0.5)) applyChanges(contents.D, [{ kind: 'write', sector: 8, sectors: 9, fill: 14 }])
  }
  // The changes that each backup knows since another one: its map then names the packs of that one from the beginning.
  const areasSince: Record<string, Extent[] | undefined> = {
    [`B ${base.firstRoot}`]: [...grownAreas, ...changed],
    [`B roots/${sessions.C}`]: changed,
    [`C ${base.firstRoot}`]: grownAreas,
  }
  // Half of the seeds play this story: C names what is retired while it runs, B begins from C meanwhile, and C is deleted.
  const isStory = random.chance(0.5)
  const stands = (key: string) => world.objects.has(key)
  const isForgotten = (key: string) => stands(key) && claimedKind(world.objects.get(key)!.body) === 'tombstone'
  const isRetiring = () => [...world.objects.keys()].some((key) => key.startsWith('retire/'))
  const cue = async (process: string, isDue: () => boolean) => {
    if ((isStory || goesOn) && random.chance(0.9)) await world.steps.until(process, isDue)
  }
  const storyParents = { B: `roots/${sessions.C}`, C: base.firstRoot, D: undefined }
  const upload = (process: string, name: 'B' | 'C' | 'D', slices: readonly number[]) => async () => {
    const parents = [base.firstRoot, base.firstRoot, `roots/${sessions.C}`, base.secondRoot, undefined]
    const parentRoot = isStory || name === 'D' ? storyParents[name] : parents[random.below(parents.length)]
    const changedAreas = areasSince[`${name} ${parentRoot}`]
    for (const slice of slices) {
      const stop = new AbortController()
      const stopAt = random.below(4)
      let packs = 0
      const hook: WriteHook = async ({ key }) => {
        if (process === 'C' && key.startsWith('packs/')) await cue(process, isRetiring)
        if (process === 'B' && key.startsWith('session/')) await cue(process, () => stands(`roots/${sessions.C}`))
        if (key.startsWith('packs/') && packs++ === stopAt) stop.abort()
        return 'go on'
      }
      const store = new HookedStore(world.stepped(process), hook)
      if (process === 'B' && random.chance(0.2))
        lingersBefore(store, 'retire/', () => cue(process, () => !isRetiring()))
      const engine = new EngineWorld(store)
      const request = {
        content: contents[name],
        session: sessions[name],
        snapshotId: name,
        parentRoot,
        changedAreas,
        slice,
        workers: 1,
        ...(goesOn ? { packBytes: 3 * CHUNK_BYTES } : {}),
      }
      // All but the last slice are stopped early, some before they move anything: their checkpoint has what they know.
      const isStopped = slice < (slices.at(-1) ?? 0) || (goesOn && name === 'B')
      const signal = isStopped ? stop.signal : new AbortController().signal
      if (random.chance(goesOn ? 0.1 : 0.5)) stop.abort()
      try {
        const { state } = await engine.uploadSlice({ ...request, signal })
        if (state === 'sealed') return
      } finally {
        world.messages.push(...engine.messages)
      }
      await cue(process, () => !isRetiring())
      await world.steps.latencyTurns(`${process} between slices`, random.below(isStory ? SHORT_WHILE : MOST_LATE_CALLS))
    }
  }
  const forget = (process: string, snapshot: string) => async () => {
    await new EngineWorld(world.stepped(process)).repositories.forget(access, FCD, snapshot)
  }
  const collect = (process: string) => async () => {
    const sessionIdleMs = random.chance(0.3) ? 0 : DAY_MS
    const givenUpLivesMs = goesOn && random.chance(0.4) ? DAY_MS : 0
    // Whole runs, or so many slices of a few calls that one of them surveys, one retires, and one deletes.
    const isSliced = random.chance(0.5)
    const [clock, sliceMs, runs] = isSliced ? [new CallClock(), 1 + random.below(6), 14] : [systemClock, HOUR_MS, 3]
    const store = new TickingStore(world.stepped(process), () => clock instanceof CallClock && clock.tick())
    for (let run = 0; run < runs; run++) {
      const options = { clock, sliceMs, sessionIdleMs, givenUpLivesMs }
      const report = await pruneRepository({ ...world.repository!, store }, options)
      if (isSliced && report.state === 'more') world.slices++
      else await cue(process, () => isForgotten(`roots/${sessions.C}`))
    }
  }
  const names = ['B', 'C', 'D'] as const
  const abandon = (process: string) => async () => {
    await new EngineWorld(world.stepped(process)).repositories.abandon(access, sessions.B)
  }
  for (const name of names) world.contents.set(`roots/${sessions[name]}`, contents[name])
  const session = (name: 'B' | 'C') => stands(`session/${sessions[name]}`)
  const beginsB = [() => stands(`roots/${sessions.C}`), () => session('C')]
  /** Probability, work, probability in the story, and what it waits for in the story. */
  const cast: [number, () => Promise<void>, number, () => boolean][] = [
    [1, upload('B', 'B', [[1, 2, 3], [2, 3], [3]][random.below(3)] ?? []), 1, beginsB[random.below(2)] ?? isRetiring],
    [1, collect('g'), 1, () => isForgotten(base.firstRoot)],
    [0.9, forget('F', 's0'), 1, () => session('C')],
    [0.5, collect('h'), 0.3, () => true],
    [0.4, upload('Z', 'B', [4, 5]), 0.1, () => session('B')],
    [0.6, upload('C', 'C', random.chance(0.5) ? [1] : [1, 2]), 1, () => true],
    [0.5, forget('H', 's1'), 0.5, () => session('C')],
    [0.3, forget('G', 's0'), 0.1, () => true],
    [0.3, forget('K', 'C'), 1, () => session('B')],
  ]
  const hasCheckpoint = () => [...world.objects.keys()].some((key) => key.startsWith(`checkpoint/${sessions.B}/`))
  const isOver = () => isForgotten(`roots/${sessions.B}`)
  if (goesOn) {
    cast.push([0.9, abandon('A'), 0.9, hasCheckpoint])
    cast.push([1, upload('D', 'D', random.chance(0.5) ? [1] : [1, 2]), 1, random.chance(0.8) ? isOver : hasCheckpoint])
  }
  const started = cast.filter(([usual, , inStory]) => random.chance(isStory ? inStory : usual))
  const processes = started.map(([, work, , isDue], index) =>
    mayEnd(async () => {
      const late = random.chance(0.4) ? 0 : random.below(isStory ? SHORT_WHILE : MOST_LATE_CALLS)
      await cue(`due ${index}`, isDue)
      await world.steps.latencyTurns(`late ${index}`, late)
      await work()
    }),
  )
  await world.steps.run(processes, () => world.check())
  // A process that died comes back, or is given up.
  for (const name of goesOn ? names : (['B', 'C'] as const)) {
    const engine = new EngineWorld(world.store)
    const request = { content: contents[name], session: sessions[name], snapshotId: name, slice: 9 }
    if (random.chance(0.7)) await mayEnd(() => engine.uploadSlice(request))
    world.messages.push(...engine.messages)
  }
  world.times.nowMs += 2 * DAY_MS
  await world.check()
  const namesD = world.named.get(world.objects.get(`roots/${sessions.D}`)?.body ?? new Uint8Array())
  const isOfB = (pack: string) => pack.startsWith(`${sessions.B}/`)
  if (isOver() && [...(namesD ?? [])].some(isOfB)) seen.goneOnWith++
  return world
}

async function endsRight(world: World): Promise<void> {
  const repository = world.repository!
  await world.check()
  // The protocol never deletes what a session took over: the check before the seal is for damage, and must find none.
  for (const message of world.messages) assert.not.match(message, /earlier backups name it/)
  for (let run = 0; run < 2; run++) {
    const options = { clock: systemClock, sliceMs: HOUR_MS, sessionIdleMs: DAY_MS, givenUpLivesMs: 0 }
    assert.equal((await pruneRepository(repository, options)).waitsFor, [])
    await world.check()
  }
  assert.equal(await unreachableObjects(repository), [])
  for (const [key, { body }] of world.objects) {
    if (!key.startsWith('roots/') || claimedKind(body) !== 'root') continue
    const content = world.contents.get(key)!
    const target = new MemoryDiskContent(content.capacityBytes)
    await new EngineWorld(world.store).restoreSlice(target, key)
    assert.ok(bytesOf(target).equals(bytesOf(content)), `${key} restores other bytes`)
  }
}

/** Counts over all seeds, because ten of them may by chance have few. */
const seen = { pruned: 0, slices: 0, goneOnWith: 0 }

for (let first = 1; first <= SEEDS; first += SEEDS_PER_TEST) {
  const last = Math.min(SEEDS, first + SEEDS_PER_TEST - 1)
  test(`no backup loses a pack, and nothing is left in the end: orders ${first} to ${last}`, async () => {
    for (let seed = first; seed <= last; seed++) {
      try {
        const world = await play(seed)
        await endsRight(world)
        seen.slices += world.slices
        seen.pruned += world.steps.taken.filter((step) => /^[gh] delete packs/.test(step)).length
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
      }
    }
  })
}

for (let first = 1; first <= SEEDS; first += SEEDS_PER_TEST) {
  const last = Math.min(SEEDS, first + SEEDS_PER_TEST - 1)
  test(`a session that continues from one that was given up loses nothing: orders ${first} to ${last}`, async () => {
    for (let seed = first; seed <= last; seed++) {
      try {
        await endsRight(await play(seed, true))
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
      }
    }
  })
}

test('some sessions continued from one that was given up', () => {
  assert.ok(seen.goneOnWith > SEEDS / SEEDS_PER_TEST, `${seen.goneOnWith} of ${SEEDS} orders`)
})

test('packs were deleted while others worked, and prunes took several slices', () => {
  assert.ok(seen.pruned > SEEDS / SEEDS_PER_TEST, `${seen.pruned} packs`)
  assert.ok(seen.slices > SEEDS / 2, `${seen.slices} slices were not the last`)
})

test.run()
