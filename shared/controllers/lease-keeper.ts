// Renews a Lease while work runs. The work decides what a failed renewal means: a step stops (./work-lease.ts), a task continues.

import type { ChangeOf, Lease } from '#shared/api/types.ts'
import type { Clock } from '#shared/kernel/clock.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import type { StepDeps } from './deps.ts'
import { patchOwnLease } from './lease.ts'

type Keeping = {
  everyMs: number
  /** Aborts when the work has ended. */
  over: AbortSignal
  /** Returns the renewed Lease, or undefined if the Lease is lost, which ends the renewals. Does not reject. */
  renew: (lease: Lease) => Promise<Lease | undefined>
  /** Runs after each renewal. Does not reject. */
  look?: () => Promise<unknown>
}

/** `lease` is the Lease as it was taken. Resolves when the work has ended: to the Lease as last renewed, or to undefined if it was lost. */
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
 * Runs `work` while its Lease is renewed. A process that cannot renew the Lease continues: if two processes run the same task, they repeat
 * the same work, which does no harm. `change` is what a renewal writes. `release` is called if the process still holds the Lease at the
 * end.
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
