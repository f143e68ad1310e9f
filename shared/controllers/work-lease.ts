// A Lease before work: holds an object's Lease while work runs, renews it, and watches the object for a cancel meanwhile.

import { randomUUID } from 'node:crypto'
import type { SteppedKind } from '#shared/api/kinds.ts'
import type { ChangeOf, KindTypes, Lease, MetadataChange, StatusChangeOf } from '#shared/api/types.ts'
import { HOLDER_ANNOTATION, leaseName } from '#shared/domain/lease.ts'
import { ConflictError, RetryableError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { StepDeps } from './deps.ts'
import { LatestOnly } from './latest-only.ts'
import { acquireLease, releaseLease, renewLease } from './lease.ts'
import { keepLease } from './lease-keeper.ts'

/** The holder reads its object at least this often: a cancel is seen within it (docs/operations/cancel.md). */
const MAX_RENEW_MS = 5 * SECOND_MS

export type WorkLease<Name extends SteppedKind = SteppedKind> = {
  /** Aborts with one of ABORTS when the work must come to an end. */
  signal: AbortSignal
  /** Aborts when the Lease is lost: whatever still writes must die at once. */
  lost: AbortSignal
  /** The object as it was last read or written. */
  latest(): KindTypes[Name]
  /** A progress or status patch by the holder; it follows the object's resourceVersion by itself. */
  patch(change: ChangeOf<Name>): Promise<KindTypes[Name]>
  /** As patch, for the status of kinds with a status subresource. */
  patchStatus(status: StatusChangeOf<Name>): Promise<KindTypes[Name]>
  /** As patch, for what is news for people only: one write at a time, of the newest; one that fails is made up for by the next. */
  report(change: ChangeOf<Name>): void
  /** From now on nothing is reported; resolves when no report is under way, so that none comes behind the outcome. */
  endReports(): Promise<void>
}

/** What the first write of a step changes: its labels, annotations and finalizers, and its status. */
export type FirstPatch<Name extends SteppedKind = SteppedKind> = Partial<MetadataChange> & {
  status?: StatusChangeOf<Name>
}

export type WorkLeaseOptions<Name extends SteppedKind> = {
  kind: Name
  object: KindTypes[Name]
  /** Part of the first patch, which also takes the object out of every source's selector. */
  firstPatch: FirstPatch<Name>
  /** True when the object, as it stands now, or whom it was made for, asks the work to stop. */
  isCancelled: (object: KindTypes[Name]) => boolean | Promise<boolean>
  /** The request is being cut off, or the pod ends. */
  signal: AbortSignal
}

export type Leased<T, Name extends SteppedKind> = { held: true } | { held: false; value: T; object: KindTypes[Name] }

export const ABORTS = { cancelled: 'cancelled', lost: 'lease lost', shutdown: 'shutting down' } as const

/**
 * Runs `work` under the object's Lease. `held: true`: someone else works on it. Once the Lease is lost the result of `work`
 * is thrown away (RetryableError `LeaseLost`): the next holder decides from what is durable. The Lease is released
 * before this returns, so the caller's last patch may wake the next step.
 */
export async function withWorkLease<T, Name extends SteppedKind>(
  deps: StepDeps,
  options: WorkLeaseOptions<Name>,
  work: (claim: WorkLease<Name>) => Promise<T>,
): Promise<Leased<T, Name>> {
  const holder = `${deps.identity}/${randomUUID()}`
  const lease = await acquireLease(deps, leaseName(options.object), holder, options.signal)
  if (lease === undefined) return { held: true }
  const keeper = new Keeper(deps, options, lease, holder)
  let value: T
  try {
    await keeper.begin()
    keeper.start()
    value = await work(keeper)
  } finally {
    await keeper.stop()
  }
  if (keeper.lost.aborted) throw leaseLost(options)
  return { held: false, value, object: keeper.latest() }
}

/**
 * Writes the outcome's status while the Lease is still held: the result of a slice must not be lost to a conflict with another write. The
 * label is left, and is written when the Lease is free, as its event starts the next step.
 */
export async function keepStatus<Name extends SteppedKind, Outcome extends { status: StatusChangeOf<Name> }>(
  lease: WorkLease<Name>,
  outcome: Outcome,
): Promise<Outcome> {
  await lease.endReports()
  if (Object.keys(outcome.status).length === 0) return outcome
  await lease.patch({ status: outcome.status } as ChangeOf<Name>)
  return { ...outcome, status: {} }
}

function leaseLost<Name extends SteppedKind>({ kind, object }: WorkLeaseOptions<Name>): RetryableError {
  return new RetryableError('LeaseLost', `the Lease of ${kind} ${object.metadata.name} was lost`, { origin: 'api' })
}

class Keeper<Name extends SteppedKind> implements WorkLease<Name> {
  readonly #deps: StepDeps
  readonly #options: WorkLeaseOptions<Name>
  readonly #holder: string
  readonly #abort = new AbortController()
  readonly #stopLoop = new AbortController()
  readonly #reports: LatestOnly<ChangeOf<Name>>
  readonly signal: AbortSignal
  readonly #lose = new AbortController()
  readonly lost = this.#lose.signal
  #lease: Lease
  #object: KindTypes[Name]
  #renewedAtMs: number
  #keeping: Promise<Lease | undefined>
  #looking: Promise<void> | undefined
  /** Reads and writes of the object one after the other, so that latest() never goes back. */
  #queue: Promise<unknown> = Promise.resolve()

  constructor(deps: StepDeps, options: WorkLeaseOptions<Name>, lease: Lease, holder: string) {
    this.#deps = deps
    this.#options = options
    this.#lease = lease
    this.#object = options.object
    this.#holder = holder
    this.#keeping = Promise.resolve(lease)
    this.#renewedAtMs = deps.clock.monotonicMs()
    this.signal = this.#abort.signal
    this.#reports = new LatestOnly(async (change) => {
      await this.patch(change).catch((error: unknown) => deps.log.debug({ err: error }, 'progress was not written'))
    })
    const onCut = () => this.#abort.abort(ABORTS.shutdown)
    if (options.signal.aborted) onCut()
    options.signal.addEventListener('abort', onCut, { signal: this.#stopLoop.signal })
  }

  latest(): KindTypes[Name] {
    return this.#object
  }

  /**
   * The first write carries the very version that was decided on and is never repeated on a newer one: whoever held the Lease
   * before may have written its end meanwhile, and what has ended must not begin again. ConflictError: read and decide anew.
   * The holder's name makes it a change in any case, as a patch that changes nothing would not make the other's late write fail.
   */
  async begin(): Promise<void> {
    const { metadata, ...rest } = this.#options.firstPatch
    const annotations = { ...metadata?.annotations, [HOLDER_ANNOTATION]: this.#holder }
    // A patch of each kind has these two parts, which the compiler cannot tell of a kind that is not known yet.
    const change = { ...rest, metadata: { ...metadata, annotations } } as unknown as ChangeOf<Name>
    this.#object = await this.#deps.cluster.patch(this.#options.kind, this.#object, change)
  }

  async patch(change: ChangeOf<Name>): Promise<KindTypes[Name]> {
    return await this.#inOrder(
      async () => await this.#write((seen) => this.#deps.cluster.patch(this.#options.kind, seen, change)),
    )
  }

  async patchStatus(status: StatusChangeOf<Name>): Promise<KindTypes[Name]> {
    return await this.#inOrder(
      async () => await this.#write((seen) => this.#deps.cluster.patchStatus(this.#options.kind, seen, status)),
    )
  }

  report(change: ChangeOf<Name>): void {
    this.#reports.offer(change)
  }

  async endReports(): Promise<void> {
    await this.#reports.end()
  }

  start(): void {
    const { clock, settings } = this.#deps
    const everyMs = Math.min(MAX_RENEW_MS, settings.leaseMs / 3)
    this.#keeping = keepLease(clock, this.#lease, {
      everyMs,
      over: this.#stopLoop.signal,
      renew: (held) => this.#renew(held),
      // Not for as long as it takes: it waits behind the holder's own writes, and the Lease must be renewed meanwhile.
      look: () => this.#within(everyMs, this.#look(), this.#stopLoop.signal),
    })
  }

  /**
   * Whoever was paused for longer than the Lease learns only here that it passed on: `lost`. No write of its own is under way when the
   * Lease is released: it would find another holder, and take that for a loss.
   */
  async stop(): Promise<void> {
    this.#stopLoop.abort()
    await this.#reports.end()
    const held = await this.#keeping
    await this.#queue
    if (this.lost.aborted || held === undefined) return
    if (!(await releaseLease(this.#deps, held))) this.#leave()
  }

  /** A user's edit in between is no reason to lose progress: read again and write once more, as long as the Lease is ours. */
  async #write(write: (seen: KindTypes[Name]) => Promise<KindTypes[Name]>): Promise<KindTypes[Name]> {
    try {
      this.#object = await write(this.#object)
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
      await this.#refresh()
      this.#object = await write(this.#object)
    }
    return this.#object
  }

  /** Asked after the object was read: had another one begun before this, its first patch would be in what was read. */
  async #requireLease(): Promise<void> {
    const { namespace, name } = this.#lease.metadata
    const now = await this.#deps.cluster.read('Lease', namespace, name)
    if (now?.spec?.holderIdentity === this.#holder) return
    this.#leave()
    throw leaseLost(this.#options)
  }

  async #inOrder<T>(act: () => Promise<T>): Promise<T> {
    const mine = this.#queue.then(act, act)
    this.#queue = mine.catch(() => undefined)
    return await mine
  }

  async #refresh(): Promise<void> {
    const { namespace, name, uid } = this.#object.metadata
    const fresh = await this.#deps.cluster.read(this.#options.kind, namespace, name)
    if (fresh === undefined || fresh.metadata.uid !== uid) {
      this.#abort.abort(ABORTS.cancelled)
      throw new ConflictError('Gone', `${this.#options.kind} ${name} is gone`)
    }
    // A holder that was paused during this read could overwrite the next holder's update.
    if (fresh.metadata.resourceVersion !== this.#object.metadata.resourceVersion) await this.#requireLease()
    this.#object = fresh
    if (await this.#options.isCancelled(fresh)) this.#abort.abort(ABORTS.cancelled)
  }

  /** One look at a time. */
  #look(): Promise<void> {
    this.#looking ??= this.#inOrder(() => this.#refresh())
      .catch((error) => this.#deps.log.debug({ err: error }, 'could not read the claimed object'))
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  /** true: `work` has ended; what it throws is thrown. false: it goes on, as the time is over, or `cut` aborts. */
  async #within(limitMs: number, work: Promise<unknown>, cut?: AbortSignal): Promise<boolean> {
    const over = new AbortController()
    const signals = cut === undefined ? [over.signal] : [over.signal, cut]
    const passes = this.#deps.clock.sleep(Math.max(0, limitMs), AbortSignal.any(signals)).catch(() => undefined)
    const ends = work.then(() => true)
    // What it throws later is nobody's concern.
    ends.catch(() => undefined)
    return await Promise.race([ends, passes.then(() => false)]).finally(() => over.abort())
  }

  async #renew(held: Lease): Promise<Lease | undefined> {
    const startedMs = this.#deps.clock.monotonicMs()
    const renewing = renewLease(this.#deps, held, this.#holder)
    try {
      // By its own clock, whether or not there is an answer by then.
      if (!(await this.#within(this.#mayWaitMs(), renewing))) return this.#leave()
      this.#renewedAtMs = startedMs
      return await renewing
    } catch (error) {
      // A conflict is certain loss: renewLease has looked whose it is. Anything else may pass.
      return error instanceof ConflictError || this.#mayWaitMs() <= 0 ? this.#leave() : held
    }
  }

  /** Until a third of the Lease's time is left: then it stops, as another one may begin when all of it is over. */
  #mayWaitMs(): number {
    return this.#renewedAtMs + (2 / 3) * this.#deps.settings.leaseMs - this.#deps.clock.monotonicMs()
  }

  #leave(): undefined {
    this.#lose.abort(ABORTS.lost)
    this.#abort.abort(ABORTS.lost)
  }
}
