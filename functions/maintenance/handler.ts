// By the clock: one slice of prune for every repository that is ready, one after the other.

import { randomUUID } from 'node:crypto'
import type { Condition, KubeObject } from '#shared/api/kinds.ts'
import { type ConditionChange, isTrue, setCondition } from '#shared/domain/conditions.ts'
import { inTurn, prunedCondition, removedOf, removedText } from '#shared/domain/maintenance.ts'
import { asError, ConflictError, DormouseError } from '#shared/kernel/errors.ts'
import type { PruneReport } from '#shared/ports/mover.ts'
import { announce } from '#shared/steps/announce.ts'
import type { RepositoryDeps } from '#shared/steps/deps.ts'
import { acquireLease, releaseLease, renewLease } from '#shared/steps/lease.ts'

export type MaintenanceDeps = RepositoryDeps & {
  /** Counts what went, by the first part of its name. */
  count: (kind: string, objects: number, bytes: number) => void
}

/** Sweep removes it when it is released. Only for economy: two prunes at once do no harm. */
const LEASE = 'dormouse-maintenance'

/** One repository's trouble does not stop the others. */
export async function maintain(deps: MaintenanceDeps, signal: AbortSignal): Promise<string> {
  const lease = await holdLease(deps, signal)
  if (lease === undefined) return 'another one is at it'
  try {
    return await pruneAll(deps, signal)
  } finally {
    await lease.release()
  }
}

async function pruneAll(deps: MaintenanceDeps, signal: AbortSignal): Promise<string> {
  const { clock, settings } = deps
  const untilMs = clock.monotonicMs() + settings.sliceMs
  const all = await deps.cluster.list('BackupRepository')
  const ready = all.filter((repository) => isTrue(repository['status']?.conditions, 'Ready'))
  const done = { pruned: 0, failed: 0, left: 0 }
  for (const repository of inTurn(ready, clock.nowMs())) {
    const sliceMs = untilMs - clock.monotonicMs()
    if (sliceMs <= 0 || signal.aborted) done.left++
    else if (await pruneOne(deps, repository, sliceMs, signal)) done.pruned++
    else done.failed++
  }
  return `${done.pruned} repositories pruned, ${done.failed} failed, ${done.left} left for the next time`
}

async function pruneOne(
  deps: MaintenanceDeps,
  repository: KubeObject,
  sliceMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const { name } = repository.metadata
  try {
    const access = await deps.access(name, 'write')
    const report = await deps.repositories.prune(access, {
      sliceMs,
      sessionIdleMs: deps.settings.sessionIdleMs,
      signal,
    })
    await tell(deps, repository, report)
    return true
  } catch (thrown) {
    const error = asError(thrown)
    const reason = error instanceof DormouseError ? error.reason : 'InternalError'
    deps.log.error({ repository: name, reason, err: error }, 'could not prune')
    await announce(deps, asKind(repository), 'Warning', reason, error.message)
    await note(deps, name, { type: 'Pruned', status: 'False', reason, message: error.message })
    return false
  }
}

async function tell(deps: MaintenanceDeps, repository: KubeObject, report: PruneReport): Promise<void> {
  const { name } = repository.metadata
  for (const [kind, { objects, bytes }] of Object.entries(report.removed)) deps.count(kind, objects, bytes)
  deps.log.info({ repository: name, ...report }, `pruned: ${removedText(report)}`)
  for (const session of report.fenced) {
    await announce(
      deps,
      asKind(repository),
      'Warning',
      'SessionIdle',
      `gave up session ${session}: nothing new for long`,
    )
  }
  if (removedOf(report).objects > 0) {
    await announce(deps, asKind(repository), 'Normal', 'Pruned', removedText(report))
  }
  await note(deps, name, prunedCondition(report))
}

const asKind = (repository: KubeObject): KubeObject => ({ ...repository, kind: 'BackupRepository' })

/** Somebody else's write in between is read again; what still fails is told in the log, the next run writes it anew. */
async function note(deps: MaintenanceDeps, name: string, change: ConditionChange): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const repository = await deps.cluster.read('BackupRepository', undefined, name)
      if (repository === undefined) return
      const before: Condition[] | undefined = repository['status']?.conditions
      const conditions = setCondition(before, change, deps.clock.nowMs())
      await deps.cluster.patch('BackupRepository', repository, { status: { conditions } })
      return
    } catch (error) {
      if (error instanceof ConflictError && attempt < 3) continue
      deps.log.warn({ repository: name, err: asError(error) }, 'could not write the condition Pruned')
      return
    }
  }
}

/** undefined: somebody else holds it. Who cannot renew it goes on: nothing hangs on it. */
async function holdLease(
  deps: MaintenanceDeps,
  signal: AbortSignal,
): Promise<{ release: () => Promise<void> } | undefined> {
  const holder = `${deps.identity}/${randomUUID()}`
  let lease = await acquireLease(deps, LEASE, holder, signal).catch(unlessTaken)
  if (lease === undefined) return undefined
  const stop = new AbortController()
  const keeping = keep()
  return {
    release: async () => {
      stop.abort()
      await keeping
      if (lease !== undefined) await releaseLease(deps, lease, holder)
    },
  }

  async function keep(): Promise<void> {
    for (;;) {
      await deps.clock.sleep(deps.settings.leaseMs / 3, stop.signal).catch(() => undefined)
      if (stop.signal.aborted || lease === undefined) return
      lease = await renewLease(deps, lease, holder).catch((error) => {
        deps.log.debug({ err: asError(error) }, 'could not renew the Lease')
        return undefined
      })
    }
  }
}

function unlessTaken(error: unknown): undefined {
  if (!(error instanceof ConflictError)) throw error
}
