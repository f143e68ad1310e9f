// Moves one slice of a disk into the repository and records how far it got; seals the backup when all of it is stored.

import type { Clock } from '#shared/kernel/clock.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type {
  DiskRef,
  SliceOptions,
  UploadEnd,
  UploadOutcome,
  UploadProgress,
  UploadRequest,
} from '#shared/ports/mover.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { BlobReader } from '#shared/repository/core/blob-reader.ts'
import { CheckpointCadence } from '#shared/repository/core/checkpoint-cadence.ts'
import { Checkpoints } from '#shared/repository/core/checkpoints.ts'
import { loadKnownChunks } from '#shared/repository/core/known-loader.ts'
import { MetaPacks } from '#shared/repository/core/meta-packs.ts'
import { Outbox } from '#shared/repository/core/outbox.ts'
import { PacedStore } from '#shared/repository/core/paced-store.ts'
import type { Pacer } from '#shared/repository/core/pacer.ts'
import { type KeyCache, type Repository, requireRepository } from '#shared/repository/core/repository.ts'
import { sealBackup } from '#shared/repository/core/seal.ts'
import { Stopper } from '#shared/repository/core/stopper.ts'
import { throttled } from '#shared/repository/core/throttled.ts'
import { loadUnfinished, Unfinished } from '#shared/repository/core/unfinished.ts'
import type { Lost } from '#shared/repository/core/verify-stored.ts'
import type { Warn } from '#shared/repository/core/warn.ts'
import { packKey, rootKey } from '#shared/repository/format/names.ts'
import type { Root } from '#shared/repository/format/root.ts'
import { type BlockRoot, blockRootSource, blockSourceOf } from './block-source.ts'
import { budgetFor, DEFAULT_MEMORY_MIB, DEFAULT_WORKERS, pacedBudget, type TransferBudget } from './budget.ts'
import type { Lane, LaneSetup } from './lane.ts'
import { beginUpload } from './upload-begin.ts'
import { type PageContext, planRetired } from './upload-pages.ts'
import { planAllocated, planChanged } from './upload-plan.ts'
import { UploadPump } from './upload-pump.ts'
import type { UploadState } from './upload-state.ts'

export type EngineDeps = {
  store: ObjectStore
  clock: Clock
  /** Returns lanes, each with the disk open. The lanes belong to the caller, which closes or keeps them. */
  openLanes: (disk: DiskRef, setup: LaneSetup, writable: boolean) => Promise<Lane[]>
  /** Takes back the bytes of a `getRange`, if the store can reuse them. */
  recycle?: ((bytes: Uint8Array) => void) | undefined
  warn?: Warn | undefined
  memoryMib?: number | undefined
  workers?: number | undefined
  /** Overrides the budget that follows from the memory: tests make small volumes behave like large ones. */
  budget?: Partial<TransferBudget> | undefined
  keyCache?: KeyCache | undefined
  /** Limits the bytes per second over all slices of this mover. */
  pacer?: Pacer | undefined
}

export async function upload(
  request: UploadRequest,
  deps: EngineDeps,
  options: SliceOptions<UploadProgress>,
): Promise<UploadOutcome> {
  const repository = await openPaced(deps, request.repository)
  const warn = deps.warn ?? (() => {})
  const checkpoints = new Checkpoints(repository, request.session, request.slice, warn)
  const stopper = new Stopper(deps.clock, request.sliceMs, options.signal)
  try {
    const begun = await beginUpload(repository, request, checkpoints, deps.clock.nowMs(), warn)
    if (begun.kind === 'sealed') {
      await checkpoints.removeAll()
      return sealedOutcome(request, begun.root, begun.source)
    }
    if (begun.kind === 'unplanned') return { state: 'unplanned' }
    const { state, isFresh } = begun
    const slice = new UploadSlice({ repository, request, deps, state, checkpoints, stopper, warn, isFresh })
    return await slice.run(options.onProgress)
  } finally {
    stopper.dispose()
  }
}

/** Opening the repository is not paced: it reads only some small objects. */
export async function openPaced(
  { store, keyCache, pacer }: EngineDeps,
  { password, repositoryId }: UploadRequest['repository'],
): Promise<Repository> {
  const repository = await requireRepository(store, password, keyCache, repositoryId)
  return pacer === undefined ? repository : { ...repository, store: new PacedStore(repository.store, pacer) }
}

type SliceContext = {
  repository: Repository
  request: UploadRequest
  deps: EngineDeps
  state: UploadState
  checkpoints: Checkpoints
  stopper: Stopper
  warn: Warn
  /** No checkpoint was found: the plan must still be made. */
  isFresh: boolean
}

class UploadSlice {
  readonly #context: SliceContext
  readonly #state: UploadState
  readonly #outbox: Outbox
  readonly #pages: PageContext
  readonly #bytesBefore: number
  #isPlanned: boolean

  constructor(context: SliceContext) {
    const { repository, request, state, warn } = context
    this.#context = context
    this.#state = state
    this.#bytesBefore = state.stats.bytesDone
    this.#isPlanned = !context.isFresh
    this.#outbox = new Outbox(repository.store, state.stats)
    const { packBytes } = this.#budget()
    const metaPacks = new MetaPacks(repository.keys, request.session, this.#outbox, packBytes)
    const source = { repository, blobs: new BlobReader(repository), warn }
    this.#pages = { ...source, state, metaPacks, unfinished: new Unfinished(source) }
  }

  async run(onProgress: (progress: UploadProgress) => void): Promise<UploadEnd> {
    try {
      await this.#move(onProgress)
    } catch (error) {
      this.#context.stopper.stop()
      if (error instanceof RetryableError) await this.#keepWhatIsDurable()
      throw error
    }
    const { repository, request, deps, checkpoints } = this.#context
    const state = this.#state
    if (state.plannedPages < state.geometry.pageCount || state.nextUnfinished(0) !== -1) {
      await checkpoints.write(state.checkpoint(), this.#outbox)
      return this.#more()
    }
    const { pages, parent, stats, healed, newChunks } = state
    const source = blockRootSource(state.geometry, request.source, state.mode)
    const sealed = await sealBackup({
      repository,
      session: request.session,
      newChunks,
      checkpoints,
      outbox: this.#outbox,
      backup: { about: request.about, source, parent, stats, healed, pages },
      sealedMs: deps.clock.nowMs(),
    })
    if (!('version' in sealed)) return await this.#heal(sealed)
    await checkpoints.removeAll()
    const root = `${repository.store.location}/${rootKey(request.session)}`
    return sealedOutcome(request, sealed, blockSourceOf(sealed, root))
  }

  /** The next slice reads from the disk the data that an earlier backup has lost. */
  async #heal(lost: Lost): Promise<UploadEnd> {
    const { repository, checkpoints, warn } = this.#context
    const [pack] = lost.packs
    const again = `earlier backups name it: this one reads what it held from the disk again, they cannot be restored as a whole`
    if (pack !== undefined) {
      const name = `${repository.store.location}/${packKey(pack)}`
      warn('PackMissing', `${name} is gone or too short (${lost.packs.size} such packs), and ${again}`)
    }
    if (lost.unreadable !== undefined) warn(lost.unreadable.reason, `${lost.unreadable.message}, and ${again}`)
    this.#state.heal(lost)
    await checkpoints.write(this.#state.checkpoint(), this.#outbox)
    return this.#more()
  }

  #more(): UploadEnd {
    return { state: 'more', progress: { ...this.#state.stats }, bytesBefore: this.#bytesBefore }
  }

  async #move(onProgress: (progress: UploadProgress) => void): Promise<void> {
    const { repository, request, deps, stopper } = this.#context
    const budget = this.#budget()
    const lanes = await deps.openLanes(request.disk, this.#laneSetup(budget), false)
    await this.#plan(lanes)
    const { blobs, warn } = this.#pages
    const source = { repository, blobs, mostEntries: this.#knownEntries(budget.knownChunks), warn }
    const known = await loadKnownChunks(source, request.session, this.#state)
    if (this.#state.nextUnfinished(0) !== -1)
      this.#pages.unfinished = await loadUnfinished(this.#pages, request.session, budget.openPages)
    const cadence = new CheckpointCadence(deps.clock, this.#state.stats.bytesStored, () => this.#checkpoint())
    const report = throttled(deps.clock, () => onProgress({ ...this.#state.stats }))
    const stops = { isStopping: () => stopper.isStopping, isUrgent: () => stopper.isUrgent }
    const onDurable = () => {
      report()
      cadence.tick(this.#state.stats.bytesStored, (error) => this.#outbox.fail(error))
    }
    const { pacer } = deps
    const turn = pacer === undefined ? undefined : () => pacer.turn(() => {}, stopper.stopping)
    const outbox = this.#outbox
    await new UploadPump({ ...this.#pages, lanes, known, outbox, budget, ...stops, turn, onDurable }).run()
    await cadence.settle()
    await this.#outbox.settle()
  }

  #budget(): TransferBudget {
    const { workers = DEFAULT_WORKERS, memoryMib = DEFAULT_MEMORY_MIB, budget, pacer } = this.#context.deps
    const { chunkBytes } = this.#context.repository.config
    return { ...pacedBudget(budgetFor(memoryMib, workers, chunkBytes), pacer, chunkBytes), ...budget }
  }

  #laneSetup(budget: TransferBudget): LaneSetup {
    const { repository, request, stopper } = this.#context
    return {
      repositoryId: repository.keys.repositoryId,
      master: repository.keys.master,
      session: request.session,
      chunkBytes: repository.config.chunkBytes,
      capacityBytes: request.capacityBytes,
      packBytes: budget.packBytes,
      packBuffers: budget.packBuffersPerLane,
      stop: stopper.flag,
    }
  }

  async #plan(lanes: readonly Lane[]): Promise<void> {
    const { request, stopper } = this.#context
    const state = this.#state
    const [lane] = lanes
    if (state.mode === 'Changed' && !this.#isPlanned) {
      planChanged(state, Array.isArray(request.changedAreas) ? request.changedAreas : [])
      await planRetired(this.#pages)
    }
    if (state.plannedPages < state.geometry.pageCount && lane !== undefined) {
      await planAllocated(state, lane, stopper)
    }
    this.#isPlanned = true
  }

  /** No larger than what this volume and a repository of its size can fill. */
  #knownEntries(most: number): number {
    return Math.min(most, Math.max(65_536, 4 * this.#state.geometry.chunkCount))
  }

  async #checkpoint(): Promise<void> {
    const { checkpoints } = this.#context
    if (!checkpoints.hasRoom) return
    this.#pages.metaPacks.sendPack()
    await checkpoints.write(this.#state.checkpoint(), this.#outbox)
  }

  /** The slice failed, but its packs are stored: the next slice need not send them again. */
  async #keepWhatIsDurable(): Promise<void> {
    // An incomplete plan must not pass for a complete one (see `decodeProgress`).
    if (!this.#isPlanned) return
    try {
      const outbox = new Outbox(this.#context.repository.store, this.#state.stats)
      await this.#context.checkpoints.write(this.#state.checkpoint(), outbox)
    } catch {
      // The first error is the one to report; without this checkpoint, the next slice starts from an older one.
    }
  }
}

function sealedOutcome({ session }: UploadRequest, { stats, healed }: Root, { mode }: BlockRoot): UploadEnd {
  const outcome = { state: 'sealed' as const, root: rootKey(session), progress: { ...stats }, mode }
  return healed === undefined ? outcome : { ...outcome, healed }
}
