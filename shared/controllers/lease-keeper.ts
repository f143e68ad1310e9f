// Keeps a Lease for as long as work goes on. What a renewal that fails means, is up to the work: a step stops (./work-lease.ts), a task goes on.

import type { ChangeOf, Lease } from '#shared/api/types.ts'
import type { Clock } from '#shared/kernel/clock.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import type { StepDeps } from './deps.ts'
import { patchOwnLease } from './lease.ts'

export type Keeping = {
  everyMs: number
  /** Aborts when the work has come to its end. */
  over: AbortSignal
  /** The Lease as it stands then; undefined: it is lost, and renewed no more. Does not reject. */
  renew: (lease: Lease) => Promise<Lease | undefined>
  /** What is looked at after each renewal. Does not reject. */
  look?: () => Promise<unknown>
}

/** `lease`: as it was taken. Resolves, once the work is over, to the Lease as it was renewed last; undefined: it was lost. */
export async function keepLease(
  clock: Clock,
  lease: Lease,
  { everyMs, over, renew, look }: Keeping,
): Promise<Lease | undefined> {
  let held = lease
  for (;;) {
    await clock.sleep(everyMs, over).catch(() => undefined)
    if (over.aborted) return held
    const renewed = await renew(held)
    if (renewed === undefined) return undefined
    held = renewed
    await look?.()
  }
}

type TaskLeaseDeps = Pick<StepDeps, 'cluster' | 'clock' | 'settings' | 'log'>

/**
 * Runs `work` while its Lease is renewed. Who cannot renew it goes on: two at once do the same twice, which does no harm. `change`: what a
 * renewal writes. `release`: for a Lease that is still its own at the end.
 */
export async function whileKept<T>(
  { cluster, clock, settings, log }: TaskLeaseDeps,
  lease: Lease,
  { change, release }: { change: () => ChangeOf<'Lease'>; release: (lease: Lease) => Promise<unknown> },
  work: () => Promise<T>,
): Promise<T> {
  const over = new AbortController()
  const renew = async (held: Lease) => {
    try {
      return await patchOwnLease(cluster, held, change())
    } catch (error) {
      log.debug({ err: error }, `could not renew the Lease ${held.metadata.name}`)
      return error instanceof ConflictError ? undefined : held
    }
  }
  const keeping = keepLease(clock, lease, { everyMs: settings.leaseMs / 3, over: over.signal, renew })
  try {
    return await work()
  } finally {
    over.abort()
    const held = await keeping
    if (held !== undefined) await release(held)
  }
}
