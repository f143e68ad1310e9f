// The bucket of a simulation run: a repository of format 1 in memory, with small chunks, and the view that each process has of it.
// At each new root it checks that the root names only existing objects and restores to the bytes of the disk snapshot.

import { HOUR_MS, KiB } from '#shared/kernel/units.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import { download } from '#shared/movers/block/download.ts'
import { inlineLane } from '#shared/movers/block/inline-lane.ts'
import type { DiskRef } from '#shared/ports/mover.ts'
import type { ObjectStore, StoredObject } from '#shared/ports/object-store.ts'
import { MemoryDisk, MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { addPasswordSlot, type Repository } from '#shared/repository/core/repository.ts'
import { type Checkpoint, openCheckpoint } from '#shared/repository/format/checkpoint.ts'
import { NO_FEATURES } from '#shared/repository/format/features.ts'
import {
  CONFIG_KEY,
  formatSession,
  parseCheckpointKey,
  rootKey,
  sessionInKey,
} from '#shared/repository/format/names.ts'
import { encodeConfig } from '#shared/repository/format/repository-config.ts'
import { RepositoryKeys } from '#shared/repository/format/repository-keys.ts'
import { openRoot, openTombstone, type Root, type RootAbout, sealRoot } from '#shared/repository/format/root.ts'
import { claimedKind } from '#shared/repository/format/sealed-object.ts'
import { pruneRepository, unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, CHEAP_SCRYPT, PAGE_CHUNKS } from '#test/support/engine-world.ts'
import type { VirtualClock } from './clock.ts'
import type { Caller, Pod } from './pod.ts'

/** Pages of 128 KiB: a volume of 640 KiB has five. */
const CHUNK_BYTES = 8 * KiB
export const BUDGET = {
  packBytes: 8 * CHUNK_BYTES,
  packBuffersPerLane: 2,
  batchBytes: 4 * CHUNK_BYTES,
  knownChunks: 1024,
  openPages: 3,
  fetchBytes: 16 * CHUNK_BYTES,
}
const PACK_MS = 300
/** Fixed keys, so that every tag, and with it the order of all keys, is the same in each run. */
const KEYS = new RepositoryKeys('00112233445566778899aabbccddeeff', Buffer.alloc(32, 7))
const CONFIG = { repositoryId: KEYS.repositoryId, chunkBytes: CHUNK_BYTES, pageChunks: PAGE_CHUNKS, ...NO_FEATURES }
const NO_DISK: DiskRef = {
  access: { server: '', port: 0, thumbprintSha1: '', user: '', password: '', datastoreMoref: '' },
  fcdId: '',
  snapshotId: undefined,
}

export class Bucket {
  readonly clock: VirtualClock
  readonly objects: MemoryObjectStore['objects']
  readonly #store: MemoryObjectStore
  /** By disk snapshot: the bytes that its backup must restore to. */
  readonly expected = new Map<string, Buffer>()
  /** Objects of other clusters: checks do not count them, and nothing may remove them. */
  readonly foreign = new Set<string>()
  readonly late = new Set<string>()
  readonly broken: string[]
  /** Resolves when the key slot is written. */
  readonly ready: Promise<unknown>

  constructor(clock: VirtualClock, broken: string[]) {
    const nowMs = () => clock.nowMs()
    this.clock = clock
    this.#store = new MemoryObjectStore({ location: 's3://bucket', nowMs })
    this.objects = this.#store.objects
    this.broken = broken
    this.objects.set(CONFIG_KEY, { body: encodeConfig(KEYS, CONFIG), modifiedMs: nowMs() })
    this.ready = addPasswordSlot(this.#store, KEYS, access.password, CHEAP_SCRYPT)
  }

  /** The store as one process sees it. `isAlive`: false once its mover was killed, which then writes nothing more. */
  storeOf(pod: Pod, caller: Caller, isAlive: () => boolean = () => true): ObjectStore {
    return new PodStore(this, this.#store, pod, caller, isAlive, this.ready)
  }

  get keyList(): string[] {
    return [...this.objects.keys()].sort()
  }

  /**
   * All checkpoints, except two kinds that may exist after the end of their session: those from which the next backup continues one that was
   * given up, and those that a paused pod wrote late. A prune removes them.
   */
  get checkpoints(): string[] {
    const excused = (key: string) => this.foreign.has(key) || this.late.has(key) || this.#isForNext(key)
    return this.keyList.filter((key) => key.startsWith('checkpoint/') && !excused(key))
  }

  #isForNext(key: string): boolean {
    const { session = '', name } = parseCheckpointKey(key) ?? {}
    const end = this.objects.get(rootKey(session))?.body
    if (end === undefined || claimedKind(end) !== 'tombstone') return false
    return openTombstone(KEYS, session, end, key).checkpoint === name
  }

  /** The newest checkpoint of a session, or undefined. */
  checkpointOf(session: string): Checkpoint | undefined {
    const key = this.keyList.findLast((each) => each.startsWith(`checkpoint/${session}/`))
    const bytes = key === undefined ? undefined : this.objects.get(key)?.body
    return key === undefined || bytes === undefined ? undefined : openCheckpoint(KEYS, key, bytes, key)
  }

  /** True when the session has a root or a tombstone. */
  isEnded(session: string): boolean {
    return session !== '' && this.objects.has(rootKey(session))
  }

  /** Roots of backups, by key, without tombstones. */
  get backups(): Map<string, Root> {
    const found = new Map<string, Root>()
    for (const key of this.keyList.filter((each) => !this.foreign.has(each))) {
      const root = this.rootAt(key)
      if (root !== undefined) found.set(key, root)
    }
    return found
  }

  rootAt(key: string): Root | undefined {
    const session = key.startsWith('roots/') ? sessionInKey(key) : undefined
    const bytes = this.objects.get(key)?.body
    if (session === undefined || bytes === undefined || claimedKind(bytes) === 'tombstone') return undefined
    return openRoot(KEYS, session, bytes, key)
  }

  backupOf(snapshotId: string): string | undefined {
    return [...this.backups].find(([key, root]) => blockSourceOf(root, key).snapshotId === snapshotId)?.[0]
  }

  /** Seals the same backup again, as another cluster or namespace would. Returns its root. */
  plantRoot(like: string, change: Partial<RootAbout>, ids?: { diskId: string; snapshotId: string }): string {
    const root = this.rootAt(like)
    if (root === undefined) throw new Error(`${like} is no backup`)
    const about = { ...root.about, ...change }
    const { diskId, snapshotId } = ids ?? blockSourceOf(root, like)
    const source = { ...root.source, diskId, snapshotId }
    const session = formatSession({
      volumeTag: KEYS.volumeTag(diskId),
      snapshotTag: KEYS.snapshotTag(diskId, snapshotId),
      startedMs: about.createdMs,
      attempt: 'ffffffff',
    })
    const key = rootKey(session)
    this.objects.set(key, { body: sealRoot(KEYS, session, { ...root, about, source }), modifiedMs: this.clock.nowMs() })
    return key
  }

  /** Every byte of a backup, restored from what the bucket holds now. */
  async restore(rootKey: string): Promise<Buffer> {
    const store = new MemoryObjectStore({ location: 's3://bucket', objects: new Map(this.objects) })
    const root = this.rootAt(rootKey)
    if (root === undefined) throw new Error(`${rootKey} is no backup`)
    const content = new MemoryDiskContent(blockSourceOf(root, rootKey).capacityBytes, CHUNK_BYTES)
    const request = { repository: access, disk: NO_DISK, root: rootKey, sliceMs: HOUR_MS, nextChunk: 0 }
    const openLanes = async (_disk: DiskRef, setup: Parameters<typeof inlineLane>[1]) => [
      inlineLane(new MemoryDisk(content), setup),
    ]
    const deps = { store, clock: STANDING_CLOCK, openLanes, workers: 1, budget: BUDGET }
    const options = { signal: new AbortController().signal, onProgress: () => {} }
    const outcome = await download({ ...request, targetIsZeroed: true }, deps, options)
    if (outcome.state !== 'done') throw new Error(`${rootKey} was restored in part only`)
    const bytes = Buffer.alloc(content.capacityBytes)
    new MemoryDisk(content).read(0, bytes)
    return bytes
  }

  /** Prunes as the maintenance function does, while sessions are unfinished. `exclusive`: no session will continue. */
  async prune(exclusive = false): Promise<void> {
    const options = { clock: STANDING_CLOCK, sliceMs: HOUR_MS, sessionIdleMs: Number.MAX_SAFE_INTEGER, exclusive }
    await pruneRepository(this.#repository, options)
  }

  /** Objects that no backup reaches and that the format does not keep. */
  async unreachable(): Promise<string[]> {
    return await unreachableObjects(this.#repository)
  }

  get #repository(): Repository {
    return { store: this.#store, keys: KEYS, config: CONFIG }
  }

  /** From the moment it exists, a root has to name a whole backup. */
  async checkRoot(key: string): Promise<void> {
    const root = this.rootAt(key)
    if (root === undefined) return
    const wanted = this.expected.get(blockSourceOf(root, key).snapshotId)
    try {
      const found = await this.restore(key)
      if (wanted === undefined) this.broken.push(`${key} is of a snapshot that nobody has seen`)
      else if (!found.equals(wanted)) this.broken.push(`${key} does not restore to what the disk snapshot held`)
    } catch (error) {
      this.broken.push(`${key} names what is not there: ${error}`)
    }
  }
}

/** For a check that takes no time. */
const STANDING_CLOCK = { nowMs: () => 0, monotonicMs: () => 0, sleep: () => new Promise<void>(() => {}) }

class PodStore implements ObjectStore {
  readonly location: string
  readonly #bucket: Bucket
  readonly #inner: MemoryObjectStore
  readonly #pod: Pod
  readonly #caller: Caller
  readonly #isAlive: () => boolean
  readonly #ready: Promise<unknown>

  constructor(
    bucket: Bucket,
    inner: MemoryObjectStore,
    pod: Pod,
    caller: Caller,
    isAlive: () => boolean,
    ready: Promise<unknown>,
  ) {
    this.#bucket = bucket
    this.#inner = inner
    this.#pod = pod
    this.#caller = caller
    this.#isAlive = isAlive
    this.#ready = ready
    this.location = inner.location
  }

  get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#call('get', key, false, () => this.#inner.get(key, signal))
  }

  getRange(key: string, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#call('getRange', key, false, () => this.#inner.getRange(key, offset, length, signal))
  }

  putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    return this.#call('put', key, true, async () => {
      // A pack takes time to arrive, so no code may rely on its being there at once.
      if (key.startsWith('packs/')) await this.#bucket.clock.sleep(PACK_MS)
      const created = await this.#inner.putIfAbsent(key, body, signal)
      if (this.#pod.wasPaused) this.#bucket.late.add(key)
      if (created && key.startsWith('roots/')) await this.#bucket.checkRoot(key)
      return created
    })
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    const found = await this.#call('list', prefix, false, async () => {
      const all: StoredObject[] = []
      for await (const object of this.#inner.list(prefix, signal)) all.push(object)
      return all
    })
    yield* found
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#call('delete', key, true, () => this.#inner.delete(key, signal))
  }

  async #call<T>(verb: string, key: string, isWrite: boolean, act: () => Promise<T>): Promise<T> {
    await this.#ready
    const name = `${verb} ${key.split('/', 1)[0]}`
    return await this.#pod.call('store', name, isWrite, () => this.#ifAlive(act), this.#caller)
  }

  async #ifAlive<T>(act: () => Promise<T>): Promise<T> {
    if (!this.#isAlive()) return await new Promise<T>(() => {}) // a killed process gets no answer any more
    return await act()
  }
}
