// Gives each BackupRepositoryClaim its BackupRepository, and makes sure that the bucket holds a repository that can be opened.

import type { Condition } from '#shared/api/kinds.ts'
import type { BackupRepository, BackupRepositoryClaim } from '#shared/api/types.ts'
import { type Controller, type Result, type Run, runStep, type Work } from '#shared/controllers/controller.ts'
import type { RepositoryDeps } from '#shared/controllers/deps.ts'
import type { ResolvedAccess } from '#shared/controllers/repository-access.ts'
import type { WorkLease } from '#shared/controllers/work-lease.ts'
import { type ConditionChange, conditionOf, isTrue } from '#shared/domain/conditions.ts'
import { recordedId } from '#shared/domain/present-location.ts'
import { claimNamespace, repositoryNameOf } from '#shared/domain/repository-claim.ts'
import {
  holdsFinalizer,
  isBeingDeleted,
  stepOf,
  stepPatch,
  withFinalizer,
  withoutFinalizer,
} from '#shared/domain/step-label.ts'
import { messageForTenant } from '#shared/domain/tenant-message.ts'
import { READ_ONLY_AGAIN_MS } from '#shared/domain/waits.ts'
import { reasonIn } from '#shared/kernel/errors.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { applied, readyConditions } from './conditions.ts'
import { wakeEarlyUploads } from './early-uploads.ts'
import { ensureOwn, findOwn, hasMarked, removeOwn, requireOwn } from './own-repository.ts'
import { termsOf } from './terms.ts'

export type ClaimDeps = RepositoryDeps & {
  /** Opens the claim's BackupRepository, which holds the settings that the claim may have (termsOf). */
  accessOf: (repository: BackupRepository) => Promise<ResolvedAccess>
}

type RepositoryStep = { kind: 'remove' } | { kind: 'keep' } | { kind: 'establish' }

const REPOSITORY: Controller<'BackupRepositoryClaim', ClaimDeps, RepositoryStep> = {
  kind: 'BackupRepositoryClaim',
  decide,
  actions: {
    remove: { atOnce: removeRepository },
    keep: { atOnce: keepFinalizer },
    establish: { act: establish },
  },
  failed: notReady,
  mustStop: ({ object }) => isBeingDeleted(object),
}

/** One delivery does at most one step. Idempotent, and safe in any order: it trusts the object, never the event. */
export async function handleRepository(
  _context: Context,
  ref: ObjectRef,
  deps: ClaimDeps,
  signal: AbortSignal,
): Promise<string> {
  return await runStep(REPOSITORY, deps, ref, signal)
}

async function decide(deps: ClaimDeps, claim: BackupRepositoryClaim): Promise<RepositoryStep> {
  if (isBeingDeleted(claim)) return { kind: 'remove' }
  return isReady(claim) && (await hasMarked(deps, claim)) ? { kind: 'keep' } : { kind: 'establish' }
}

function isReady(claim: BackupRepositoryClaim): boolean {
  const conditions: Condition[] | undefined = claim.status?.conditions
  if (conditionOf(conditions, 'ConcurrentPruneSafe')?.status === 'Unknown') return false
  const hasName = typeof claim.backupRepository === 'string' && claim.backupRepository !== ''
  return hasName && isTrue(conditions, 'Ready')
}

/** The finalizer stays as long as the claim exists, so that the claim's BackupRepository is deleted with it. */
async function keepFinalizer({ deps, object: claim }: Run<'BackupRepositoryClaim', ClaimDeps>): Promise<string> {
  const why = 'already Ready'
  if (stepOf(claim) === 'done' && holdsFinalizer(claim)) return why
  await deps.cluster.patch('BackupRepositoryClaim', claim, {
    metadata: { ...stepPatch('done'), finalizers: withFinalizer(claim) },
  })
  return why
}

/**
 * Deletes only the Kubernetes object. No data in the bucket is touched
 * (docs/operations/verify-and-recover.md#what-the-loss-of-a-kubernetes-object-means).
 */
async function removeRepository({ deps, object: claim }: Run<'BackupRepositoryClaim', ClaimDeps>): Promise<string> {
  await removeOwn(deps, claim)
  if (holdsFinalizer(claim)) {
    await deps.cluster.patch('BackupRepositoryClaim', claim, { metadata: { finalizers: withoutFinalizer(claim) } })
  }
  return 'removed its BackupRepository'
}

async function establish({
  deps,
  lease,
}: Work<'BackupRepositoryClaim', ClaimDeps>): Promise<Result<'BackupRepositoryClaim'>> {
  const terms = await termsOf(deps, lease.latest())
  const name = await ensureOwn(deps, lease.latest(), terms)
  if (lease.latest().backupRepository !== name) await lease.patch({ backupRepository: name })
  return await open(deps, lease)
}

async function open(
  deps: ClaimDeps,
  lease: WorkLease<'BackupRepositoryClaim'>,
): Promise<Result<'BackupRepositoryClaim'>> {
  const resolved = await deps.accessOf(await requireOwn(deps, lease.latest()))
  const state = resolved.readOnly
    ? await deps.repositories.inspect(resolved.access)
    : await deps.repositories.ensure(resolved.access, resolved.recovery, (id) => recordId(deps, lease.latest(), id))
  const changes = readyConditions(state, resolved.plaintextCredentials)
  await showOnRepository(deps, lease.latest(), changes, { reason: 'Ready', repositoryId: state.repositoryId })
  if (!resolved.readOnly) await wakeEarlyUploads(deps, repositoryNameOf(lease.latest()))
  const message = `created repository ${state.repositoryId}`
  const created: Pick<Result<'BackupRepositoryClaim'>, 'event'> = state.created
    ? { event: ['Normal', 'RepositoryCreated', message] }
    : {}
  const nowMs = deps.clock.nowMs()
  const status = { conditions: applied(lease.latest().status?.conditions, changes, nowMs), reason: 'Ready' }
  if (!resolved.readOnly) return { outcome: { status, step: 'done' }, why: 'Ready', ...created }
  const outcome = { status, step: 'waiting', dueAtMs: nowMs + READ_ONLY_AGAIN_MS } as const
  return { outcome, why: 'Ready for restores', ...created }
}

/**
 * Records the id so that no other repository is ever opened in its place, even while a recovery key problem keeps the repository from being
 * Ready.
 */
async function recordId(deps: ClaimDeps, claim: BackupRepositoryClaim, repositoryId: string): Promise<void> {
  const own = await findOwn(deps, claim)
  if (own === undefined || recordedId(own) === repositoryId) return
  await deps.cluster.patch('BackupRepository', own, { status: { repositoryId } })
}

/** The full error is in the log and in the BackupRepository. A tenant's claim and its Event contain only Dormouse's own text. */
async function notReady(
  { deps, lease }: Work<'BackupRepositoryClaim', ClaimDeps>,
  error: Error,
): Promise<Result<'BackupRepositoryClaim'>> {
  const nowMs = deps.clock.nowMs()
  const object = lease.latest()
  const reason = reasonIn(error)
  const ready = { type: 'Ready', status: 'False', reason } as const
  deps.log.warn({ err: error, reason }, 'the repository is not ready')
  await showOnRepository(deps, object, [{ ...ready, message: error.message }], { reason })
  const message = messageFor(deps, object, reason, error.message)
  const conditions = applied(object.status?.conditions, [{ ...ready, message }], nowMs)
  return {
    outcome: { status: { conditions, reason }, step: 'waiting', dueAtMs: nowMs + deps.settings.backoffUnitMs },
    why: `not ready: ${reason}`,
    event: ['Warning', reason, message],
  }
}

function messageFor(deps: ClaimDeps, claim: BackupRepositoryClaim, reason: string, message: string): string {
  const { veleroNamespace } = deps.settings
  if (claimNamespace(claim, veleroNamespace) === veleroNamespace) return message
  const whole = `BackupRepository ${repositoryNameOf(claim)} and in the log of the function`
  return messageForTenant(reason, message, whole)
}

/** Copies the claim's conditions to its BackupRepository. A BackupRepository that does not belong to the claim is left alone. */
async function showOnRepository(
  deps: ClaimDeps,
  claim: BackupRepositoryClaim,
  changes: ConditionChange[],
  more: { reason: string; repositoryId?: string },
): Promise<void> {
  const repository = await findOwn(deps, claim)
  if (repository === undefined) return
  const conditions = applied(repository.status?.conditions, changes, deps.clock.nowMs())
  await deps.cluster.patch('BackupRepository', repository, { status: { conditions, ...more } })
}
