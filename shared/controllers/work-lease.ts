// Holds an object's Lease while work runs, renews it, and watches the object for a cancel.

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

/** The holder reads its object at least this often, so it sees a cancel within this time (docs/operations/cancel.md). */
const MAX_RENEW_MS = 5 * SECOND_MS

export type WorkLease<Name extends SteppedKind = SteppedKind> = {
  /** Aborts with one of ABORTS when the work must end. */
  signal: AbortSignal
  /** Aborts when the Lease is lost: everything that still writes must stop at once. */
  lost: AbortSignal
  /** The object as it was last read or written. */
  latest(): KindTypes[Name]
  /** A progress or status patch by the holder. It uses the object's latest resourceVersion. */
  patch(change: ChangeOf<Name>): Promise<KindTypes[Name]>
  /** Like patch, for the status of kinds with a status subresource. */
  patchStatus(status: StatusChangeOf<Name>): Promise<KindTypes[Name]>
  /**
   * Like patch, for progress that only people read. One write runs at a time, with the newest value; the next write makes up for a failed
   * one.
   */
  report(change: ChangeOf<Name>): void
  /** Stops all further reports. Resolves when no report is being written, so that no report can overwrite the outcome. */
  endReports(): Promise<void>
}

/** What the first write of a step changes: labels, annotations, finalizers and status. */
export type FirstPatch<Name extends SteppedKind = SteppedKind> = Partial<MetadataChange> & {
  status?: StatusChangeOf<Name>
}

export type WorkLeaseOptions<Name extends SteppedKind> = {
  kind: Name
  object: KindTypes[Name]
  /** Part of the first patch, which also takes the object out of every source's selector. */
  firstPatch: FirstPatch<Name>
  /** True if the object as it is now, or the object that it was made for, asks the work to stop. */
  isCancelled: (object: KindTypes[Name]) => boolean | Promise<boolean>
  /** Aborts when the request is cut off or the pod ends. */
  signal: AbortSignal
}

export type Leased<T, Name extends SteppedKind> = { held: true } | { held: false; value: T; object: KindTypes[Name] }

export const ABORTS = { cancelled: 'cancelled', lost: 'lease lost', shutdown: 'shutting down' } as const

/**
 * Runs `work` under the object's Lease. `held: true`: another process works on the object. If the Lease is lost, the result of `work` is
 * thrown away (RetryableError `LeaseLost`), and the next holder decides from the durable state. The Lease is released before this function
 * returns, so the caller's last patch may wake the next step.
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
 * Writes the outcome's status while the Lease is still held, because the result of a slice must not be lost to a write conflict. The label
 * is written after the Lease is free, because the event of that write starts the next step.
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
  /** Serialises reads and writes of the object, so that latest() never returns an older version than before. */
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
   * The first write carries exactly the version that was decided on, and it is never repeated on a newer version: the previous holder may
   * have written its outcome meanwhile, and work that has ended must not begin again. Throws ConflictError: read the object and decide
   * anew. The holder annotation makes the patch a change in every case. A patch without a change would keep the resourceVersion, and a late
   * write by the previous holder would succeed.
   */
  async begin(): Promise<void> {
    const { metadata, ...rest } = this.#options.firstPatch
    const annotations = { ...metadata?.annotations, [HOLDER_ANNOTATION]: this.#holder }
    // The patch of every kind has these two parts, but the compiler cannot derive this for a generic kind.
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
      // The wait is limited: the look queues behind the holder's own writes, and the Lease must be renewed meanwhile.
      look: () => this.#within(everyMs, this.#look(), this.#stopLoop.signal),
    })
  }

  /**
   * A process that was paused for longer than the Lease duration learns only here that another process took the Lease; `lost` then aborts.
   * All writes of this process end before the release. A write that came after it would find no holder or another one, and count as a lost
   * Lease.
   */
  async stop(): Promise<void> {
    this.#stopLoop.abort()
    await this.#reports.end()
    const held = await this.#keeping
    await this.#queue
    if (this.lost.aborted || held === undefined) return
    if (!(await releaseLease(this.#deps, held))) this.#leave()
  }

  /** A conflict with a user's edit must not lose progress: read the object and write once more, as long as this process holds the Lease. */
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

  /**
   * Checks the Lease after the object was read. If another process had begun earlier, its first patch would be in the object that was read.
   */
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

  /** Runs one look at a time. */
  #look(): Promise<void> {
    this.#looking ??= this.#inOrder(() => this.#refresh())
      .catch((error) => this.#deps.log.debug({ err: error }, 'could not read the claimed object'))
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  /** true: `work` has ended; its error is thrown. false: the time limit has passed or `cut` has aborted, and `work` continues. */
  async #within(limitMs: number, work: Promise<unknown>, cut?: AbortSignal): Promise<boolean> {
    const over = new AbortController()
    const signals = cut === undefined ? [over.signal] : [over.signal, cut]
    const passes = this.#deps.clock.sleep(Math.max(0, limitMs), AbortSignal.any(signals)).catch(() => undefined)
    const ends = work.then(() => true)
    // Ignore a rejection that comes after the race was decided.
    ends.catch(() => undefined)
    return await Promise.race([ends, passes.then(() => false)]).finally(() => over.abort())
  }

  async #renew(held: Lease): Promise<Lease | undefined> {
    const startedMs = this.#deps.clock.monotonicMs()
    const renewing = renewLease(this.#deps, held, this.#holder)
    try {
      // The time limit uses the process's own clock, whether or not an answer has arrived.
      if (!(await this.#within(this.#mayWaitMs(), renewing))) return this.#leave()
      this.#renewedAtMs = startedMs
      return await renewing
    } catch (error) {
      // A conflict means that the Lease is lost, because renewLease has checked the holder. Other errors may pass.
      return error instanceof ConflictError || this.#mayWaitMs() <= 0 ? this.#leave() : held
    }
  }

  /**
   * Milliseconds until a third of the Lease's time is left. The holder must stop then, because another process may begin when all of it is
   * over.
   */
  #mayWaitMs(): number {
    return this.#renewedAtMs + (2 / 3) * this.#deps.settings.leaseMs - this.#deps.clock.monotonicMs()
  }

  #leave(): undefined {
    this.#lose.abort(ABORTS.lost)
    this.#abort.abort(ABORTS.lost)
  }
}
