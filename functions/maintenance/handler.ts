// Prunes every ready repository on schedule, one slice of each after the other. A prune that is not finished continues in a later run.

import { randomUUID } from 'node:crypto'
import type { Condition } from '#shared/api/kinds.ts'
import type { BackupRepository, Lease } from '#shared/api/types.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { RepositoryDeps } from '#shared/controllers/deps.ts'
import { acquireLease, heldChange, releaseLease } from '#shared/controllers/lease.ts'
import { whileKept } from '#shared/controllers/lease-keeper.ts'
import { type ConditionChange, isTrue, setCondition } from '#shared/domain/conditions.ts'
import { firstFew } from '#shared/domain/first-few.ts'
import { keySlotCondition } from '#shared/domain/key-slot-condition.ts'
import {
  DUE,
  ENDED,
  idleText,
  isPruning,
  MAINTENANCE_LEASE,
  prunedCondition,
  pruningCondition,
  removedOf,
  removedText,
  startingElsewhere,
} from '#shared/domain/maintenance.ts'
import { asError, ConflictError, RetryableError, reasonIn } from '#shared/kernel/errors.ts'
import type { Repositories } from '#shared/ports/mover.ts'
import { recordPlace } from './place.ts'

type MaintenanceDeps = RepositoryDeps & {
  /** Counts removed objects by kind, which is the first part of the object's name. */
  count: (kind: string, objects: number, bytes: number) => void
}

/** `begin`: a prune of every repository is due. `go on`: continue the unfinished prunes. */
export type Occasion = 'begin' | 'go on'

/** A failure of one repository does not stop the others. */
export async function maintain(deps: MaintenanceDeps, signal: AbortSignal, occasion: Occasion): Promise<string> {
  const holder = `${deps.identity}/${randomUUID()}`
  const lease = await acquireLease(deps, MAINTENANCE_LEASE, holder, signal).catch(unlessTaken)
  if (lease === undefined) {
    // The run that holds the Lease may have read its list already, so the due prunes are recorded for the next round.
    if (occasion === 'begin') await allDue(deps)
    return 'another one is at it'
  }
  const change = () => heldChange(deps, holder)
  const release = (held: Lease) => releaseLease(deps, held)
  return await whileKept(deps, lease, { change, release }, () => pruneAll(deps, signal, occasion))
}

async function readyOnes({ cluster }: MaintenanceDeps): Promise<BackupRepository[]> {
  const all = await cluster.list('BackupRepository')
  return all.filter((repository) => isTrue(repository.status?.conditions, 'Ready'))
}

/** Records the due prunes before any work: if this process dies at any point, the sweep wakes maintenance for the recorded ones. */
async function allDue(deps: MaintenanceDeps): Promise<BackupRepository[]> {
  const ready = await readyOnes(deps)
  for (const { metadata, ...repository } of ready) {
    if (!isPruning(repository.status?.conditions)) await note(deps, metadata.name, DUE)
  }
  return ready
}

async function pruneAll(deps: MaintenanceDeps, signal: AbortSignal, occasion: Occasion): Promise<string> {
  const { clock, settings } = deps
  const untilMs = clock.monotonicMs() + settings.sliceMs
  const ready = occasion === 'begin' ? await allDue(deps) : await readyOnes(deps)
  const due = ready.filter(({ status }) => occasion === 'begin' || isPruning(status?.conditions))
  const ends = { pruned: 0, failed: 0, left: 0 }
  for (const [index, repository] of startingElsewhere(due, clock.nowMs()).entries()) {
    const leftMs = untilMs - clock.monotonicMs()
    // Equal shares of the remaining time: a repository that is quick leaves its time to the others.
    const sliceMs = leftMs / (due.length - index)
    ends[leftMs <= 0 || signal.aborted ? 'left' : await pruneOne(deps, repository, sliceMs, signal)]++
  }
  return `${ends.pruned} repositories pruned, ${ends.failed} failed, ${ends.left} left for the next time`
}

async function pruneOne(
  deps: MaintenanceDeps,
  repository: BackupRepository,
  sliceMs: number,
  signal: AbortSignal,
): Promise<'pruned' | 'failed' | 'left'> {
  const { name } = repository.metadata
  try {
    const access = await deps.access(name, 'write')
    const { sessionIdleMs } = deps.settings
    const report = await deps.repositories.prune(access, { sliceMs, sessionIdleMs, signal })
    await tell(deps, repository, report)
    await recordPlace(deps, name, access)
    return report.state === 'more' ? 'left' : 'pruned'
  } catch (thrown) {
    // This process stopped the prune, which says nothing about the repository. The repository stays due.
    if (signal.aborted) return 'left'
    await tellFailure(deps, repository, asError(thrown))
    return 'failed'
  }
}

/** After an error that may pass, the prune stays due: the next try comes in a minute and continues where this one ended. */
async function tellFailure(deps: MaintenanceDeps, repository: BackupRepository, error: Error): Promise<void> {
  const { name } = repository.metadata
  const reason = reasonIn(error)
  deps.log.error({ repository: name, reason, err: error }, 'could not prune')
  await announce(deps, asKind(repository), 'Warning', reason, error.message)
  const failed: ConditionChange = { type: 'Pruned', status: 'False', reason, message: error.message }
  await note(deps, name, failed, ...(error instanceof RetryableError ? [] : [ENDED]))
}

/** The report of a prune, including the damaged key slots that it saw when it opened the repository. */
type PruneEnd = Awaited<ReturnType<Repositories['prune']>>

async function tell(deps: MaintenanceDeps, repository: BackupRepository, report: PruneEnd): Promise<void> {
  const { name } = repository.metadata
  for (const [kind, { objects, bytes }] of Object.entries(report.removed)) deps.count(kind, objects, bytes)
  const lists = { fenced: firstFew(report.fenced), waitsFor: firstFew(report.waitsFor) }
  deps.log.info({ repository: name, ...report, ...lists }, `pruned: ${removedText(report)}`)
  if (report.fenced.length > 0) {
    await announce(deps, asKind(repository), 'Warning', 'SessionIdle', idleText(report.fenced))
  }
  if (removedOf(report).objects > 0) {
    await announce(deps, asKind(repository), 'Normal', 'Pruned', removedText(report))
  }
  const pruning = report.state === 'more' ? pruningCondition(report.progress) : ENDED
  await note(deps, name, prunedCondition(report), pruning, keySlotCondition(report.damagedSlots))
}

const asKind = (repository: BackupRepository): BackupRepository => ({ ...repository, kind: 'BackupRepository' })

/**
 * After a conflict with another writer, the object is read again. A write that still fails is logged, and the next run writes the
 * conditions again.
 */
async function note(deps: MaintenanceDeps, name: string, ...changes: ConditionChange[]): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const repository = await deps.cluster.read('BackupRepository', undefined, name)
      if (repository === undefined) return
      const before: Condition[] | undefined = repository.status?.conditions
      let conditions = before
      for (const change of changes) conditions = setCondition(conditions, change, deps.clock.nowMs())
      await deps.cluster.patch('BackupRepository', repository, { status: { conditions } })
      return
    } catch (error) {
      if (error instanceof ConflictError && attempt < 3) continue
      deps.log.warn({ repository: name, err: asError(error) }, 'could not write its conditions')
      return
    }
  }
}

function unlessTaken(error: unknown): undefined {
  if (!(error instanceof ConflictError)) throw error
}
