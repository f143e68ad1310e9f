// The shipped prune beside shipped sessions, forgets and other prunes over one store, in seeded orders of their calls, with
// deaths. The protocol's core is explored in every order by format-collection-model.test.ts; here it is what the code does.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryDiskContent } from '#shared/adapters/memory/disk.ts'
import { MemoryObjectStore } from '#shared/adapters/memory/object-store.ts'
import { pruneRepository, unreachableObjects } from '#shared/engine/prune.ts'
import { Reach } from '#shared/engine/reach.ts'
import { type Repository, requireRepository } from '#shared/engine/repository.ts'
import { claimedKind } from '#shared/format/sealed-object.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { CorruptionError, DormouseError, RetryableError } from '#shared/kernel/errors.ts'
import { DAY_MS, HOUR_MS } from '#shared/kernel/units.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { Random } from '#test/scenario/random.ts'
import { access, bytesOf, CHUNK_BYTES, EngineWorld, FCD } from '#test/support/engine-world.ts'
import { SteppedStore, Steps } from '#test/support/stepped-store.ts'
import { CallClock, TickingStore } from '#test/support/ticking-store.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: prune in any order')

const SEEDS = Number(process.env['SEEDS'] ?? 60)
const SEEDS_PER_TEST = 60
/** Calls of others before a process begins: as many as a whole prune run makes. */
const MOST_LATE_CALLS = 200

/** Two backups of a small volume; what the first has and the second lacks is known from index runs only. */
async function makeGround() {
  const store = new MemoryObjectStore({ nowMs: () => 0 })
  const world = await EngineWorld.create(store)
  const first = new MemoryDiskContent(24 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(first, [{ kind: 'write', sector: 0, sectors: 150, fill: 7 }])
  const firstRoot = await world.backup(first.snapshot(), 's0')
  const second = first.snapshot()
  const changedAreas = applyChanges(second, [{ kind: 'write', sector: 16, sectors: 110, fill: 9 }])
  const secondRoot = await world.backup(second, 's1', { parentRoot: firstRoot, changedAreas })
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
  readonly named = new Map<string, ReadonlySet<string>>()
  repository: Repository | undefined
  /** Of prunes, that were not the last. */
  slices = 0

  constructor(seed: number) {
    this.random = new Random(seed)
    this.steps = new Steps(this.random, this.random.chance(0.5) ? 0.01 : 0)
    // In steps of less than a minute, and more: what is older than a minute is known again by its time, what is younger by its bytes.
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

  /** After each write: no root names a pack that is gone. */
  async check(): Promise<void> {
    const repository = this.repository!
    for (const [key, { body }] of this.objects) {
      if (!key.startsWith('roots/') || claimedKind(body) !== 'root') continue
      if (!this.named.has(key)) this.named.set(key, await packsOf(repository, key, body))
      for (const pack of this.named.get(key)!) {
        if (!this.objects.has(`packs/${pack}`)) throw new LostPack(`${key} names ${pack}, which is gone`)
      }
    }
  }
}

class LostPack extends Error {}

async function packsOf(repository: Repository, key: string, body: Uint8Array): Promise<ReadonlySet<string>> {
  const only = new MemoryObjectStore({ objects: new Map((repository.store as MemoryObjectStore).objects) })
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

/** A process that may be fenced or die, and must not fail in any other way. */
async function mayEnd(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    const isFenced = error instanceof DormouseError && error.reason === 'SessionFenced'
    const isTaken = error instanceof DormouseError && ['SliceTaken', 'PackTaken'].includes(error.reason)
    if (!isFenced && !isTaken && !(error instanceof RetryableError) && !(error instanceof CorruptionError)) throw error
  }
}

async function play(seed: number): Promise<World> {
  const base = await ground
  const world = new World(seed)
  for (const [key, entry] of base.store.objects) world.objects.set(key, entry)
  world.repository = await requireRepository(world.store, access.password)
  world.contents.set(base.firstRoot, base.first).set(base.secondRoot, base.second)
  const { random } = world
  const sessions = { B: await base.world.newSession('s2'), C: await base.world.newSession('s3') }
  const contents = { B: base.first.snapshot(), C: base.second.snapshot() }
  const changed = [{ offsetBytes: 0, lengthBytes: CHUNK_BYTES }]
  if (random.chance(0.5)) {
    changed.push(...applyChanges(contents.B, [{ kind: 'write', sector: 100, sectors: 30, fill: 11 }]))
  }
  const upload = (process: string, name: 'B' | 'C', slices: readonly number[]) => async () => {
    const parents = [base.firstRoot, base.secondRoot, `roots/${sessions.C}`, undefined]
    const parentRoot = name === 'B' && random.chance(0.5) ? base.firstRoot : parents[random.below(parents.length)]
    // B knows what changed since the first backup: its map then names that one's packs from the beginning.
    const changedAreas = name === 'B' && parentRoot === base.firstRoot ? changed : undefined
    for (const slice of slices) {
      const engine = new EngineWorld(world.stepped(process))
      const request = {
        content: contents[name],
        session: sessions[name],
        snapshotId: name,
        parentRoot,
        changedAreas,
        slice,
        workers: 1,
      }
      // The first of several slices is stopped before it moves anything: what it knows is in its checkpoint.
      const signal = slice < (slices.at(-1) ?? 0) ? AbortSignal.abort() : new AbortController().signal
      await engine.uploadSlice({ ...request, signal })
      if (signal.aborted) await world.steps.dawdle(`${process} between slices`, random.below(MOST_LATE_CALLS))
    }
  }
  const forget = (process: string, snapshot: string) => async () => {
    await new EngineWorld(world.stepped(process)).repositories.forget(access, FCD, snapshot)
  }
  const collect = (process: string) => async () => {
    const sessionIdleMs = random.chance(0.3) ? 0 : DAY_MS
    // Whole runs, or so many slices of a few calls that one of them looks, one retires, one deletes.
    const isSliced = random.chance(0.5)
    const [clock, sliceMs, runs] = isSliced ? [new CallClock(), 1 + random.below(6), 14] : [systemClock, HOUR_MS, 3]
    const store = new TickingStore(world.stepped(process), () => clock instanceof CallClock && clock.tick())
    for (let run = 0; run < runs; run++) {
      const report = await pruneRepository({ ...world.repository!, store }, { clock, sliceMs, sessionIdleMs })
      if (isSliced && report.state === 'more') world.slices++
    }
  }
  for (const name of ['B', 'C'] as const) world.contents.set(`roots/${sessions[name]}`, contents[name])
  const cast: [number, () => Promise<void>][] = [
    [1, upload('B', 'B', random.chance(0.5) ? [1, 2] : [2])],
    [1, collect('g')],
    [0.9, forget('F', 's0')],
    [0.5, collect('h')],
    [0.4, upload('Z', 'B', [3])],
    [0.4, upload('C', 'C', [1])],
    [0.5, forget('H', 's1')],
    [0.3, forget('G', 's0')],
    [0.3, forget('K', 'C')],
  ]
  const started = cast.filter(([probability]) => random.chance(probability))
  const processes = started.map(([, work], index) =>
    mayEnd(async () => {
      await world.steps.dawdle(`late ${index}`, random.chance(0.4) ? 0 : random.below(MOST_LATE_CALLS))
      await work()
    }),
  )
  await world.steps.run(processes, () => world.check())
  // Who died comes back, or is given up for dead.
  for (const name of ['B', 'C'] as const) {
    const engine = new EngineWorld(world.store)
    const request = { content: contents[name], session: sessions[name], snapshotId: name, slice: 9 }
    if (random.chance(0.7)) await mayEnd(() => engine.uploadSlice(request))
  }
  world.times.nowMs += 2 * DAY_MS
  return world
}

async function endsRight(world: World): Promise<void> {
  const repository = world.repository!
  await world.check()
  for (let run = 0; run < 2; run++) {
    const options = { clock: systemClock, sliceMs: HOUR_MS, sessionIdleMs: DAY_MS }
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

for (let first = 1; first <= SEEDS; first += SEEDS_PER_TEST) {
  const last = Math.min(SEEDS, first + SEEDS_PER_TEST - 1)
  test(`no backup loses a pack, and nothing is left in the end: orders ${first} to ${last}`, async () => {
    let pruned = 0
    let slices = 0
    for (let seed = first; seed <= last; seed++) {
      try {
        const world = await play(seed)
        await endsRight(world)
        slices += world.slices
        pruned += world.steps.taken.filter((step) => /^[gh] delete packs/.test(step)).length
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
      }
    }
    assert.ok(pruned > 0, 'packs were deleted while others worked')
    assert.ok(slices > 25, `${slices} slices were not the last`)
  })
}

test.run()
