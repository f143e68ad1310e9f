// Gives each BackupRepositoryClaim its BackupRepository, and makes sure that the bucket holds a repository that can be opened.

import type { Condition, KubeObject } from '#shared/api/kinds.ts'
import { type ConditionChange, conditionOf, isTrue, setCondition } from '#shared/domain/conditions.ts'
import { FINALIZER, isBeingDeleted, stepPatch, withFinalizer, withoutFinalizer } from '#shared/domain/step-label.ts'
import { asError, ConflictError, DormouseError } from '#shared/kernel/errors.ts'
import { HOUR_MS } from '#shared/kernel/units.ts'
import type { RepositoryState } from '#shared/ports/mover.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { announce } from '#shared/steps/announce.ts'
import { type Claim, withClaim } from '#shared/steps/claim.ts'
import type { RepositoryDeps } from '#shared/steps/deps.ts'
import type { ResolvedAccess } from '#shared/steps/repository-access.ts'
import { type Ending, writeEnding } from '#shared/steps/write.ts'
import { wakeEarlyUploads } from './early-uploads.ts'

export type ClaimDeps = RepositoryDeps & {
  /** From the claim's own parameters: the BackupRepository may not exist yet. */
  accessOf: (parameters: Record<string, string>) => Promise<ResolvedAccess>
}

/** A location that is only read may be opened for writes one day: then what was left out (probe, recovery slot) is made up for. */
const READ_ONLY_AGAIN_MS = HOUR_MS

/** One delivery does at most one step. Safe twice and in any order: it trusts the object, never the event. */
export async function handleRepository(
  _context: Context,
  ref: ObjectRef,
  deps: ClaimDeps,
  signal: AbortSignal,
): Promise<string> {
  const object = await deps.cluster.read('BackupRepositoryClaim', ref.namespace, ref.name)
  if (object === undefined) return 'gone'
  if (isBeingDeleted(object)) return await removeRepository(deps, object)
  if (isReady(object)) {
    await keepFinalizer(deps, object)
    return 'already Ready'
  }
  const claimed = await withClaim(
    deps,
    {
      kind: 'BackupRepositoryClaim',
      object,
      firstPatch: { metadata: { ...stepPatch('running'), finalizers: withFinalizer(object) } },
      isCancelled: isBeingDeleted,
      signal,
    },
    (claim) => establish(deps, claim),
  )
  if (claimed.held) return 'claimed elsewhere'
  await writeEnding(deps, 'BackupRepositoryClaim', claimed.object, claimed.value.ending)
  return claimed.value.why
}

function isReady(claim: KubeObject): boolean {
  const conditions: Condition[] | undefined = claim['status']?.conditions
  if (conditionOf(conditions, 'ConcurrentPruneSafe')?.status === 'Unknown') return false
  const hasName = typeof claim['backupRepository'] === 'string' && claim['backupRepository'] !== ''
  return hasName && isTrue(conditions, 'Ready')
}

/** The finalizer stays as long as the claim does: its repository object goes with it. */
async function keepFinalizer(deps: ClaimDeps, claim: KubeObject): Promise<void> {
  if (
    claim.metadata.labels?.['dormouse.dev/step'] === 'done' &&
    claim.metadata.finalizers?.includes(FINALIZER) === true
  )
    return
  await deps.cluster.patch('BackupRepositoryClaim', claim, {
    metadata: { ...stepPatch('done'), finalizers: withFinalizer(claim) },
  })
}

/** Only the Kubernetes object goes: no data in the bucket is ever touched by this (design §3.10). */
async function removeRepository(deps: ClaimDeps, claim: KubeObject): Promise<string> {
  const repository = await deps.cluster.read('BackupRepository', undefined, repositoryName(claim))
  if (repository !== undefined) await deps.cluster.delete('BackupRepository', repository)
  if (claim.metadata.finalizers?.includes(FINALIZER) === true) {
    await deps.cluster.patch('BackupRepositoryClaim', claim, { metadata: { finalizers: withoutFinalizer(claim) } })
  }
  return 'removed its BackupRepository'
}

function repositoryName(claim: KubeObject): string {
  return `br-${claim.metadata.uid}`
}

type Result = { ending: Ending; why: string }

async function establish(deps: ClaimDeps, claim: Claim): Promise<Result> {
  const object = claim.latest()
  const name = await ensureObject(deps, object)
  if (object['backupRepository'] !== name) await claim.patch({ backupRepository: name })
  try {
    const resolved = await deps.accessOf(object['repopsitoryParameters'] ?? {})
    const state = resolved.readOnly
      ? await deps.repositories.inspect(resolved.access)
      : await deps.repositories.ensure(resolved.access, resolved.recovery)
    const conditions = readyConditions(deps, claim.latest(), state, resolved.plaintextCredentials)
    await writeConditions(deps, name, conditions, 'Ready')
    if (!resolved.readOnly) await wakeEarlyUploads(deps, name)
    if (state.created)
      await announce(
        deps,
        object,
        'Normal',
        'RepositoryCreated',
        `created repository ${state.repositoryId} in the bucket`,
      )
    const status = { conditions, reason: 'Ready' }
    if (!resolved.readOnly) return { ending: { status, step: 'done' }, why: 'Ready' }
    const dueAtMs = deps.clock.nowMs() + READ_ONLY_AGAIN_MS
    return { ending: { status, step: 'waiting', dueAtMs }, why: 'Ready for restores' }
  } catch (error) {
    if (error instanceof ConflictError || (error instanceof DormouseError && error.reason.startsWith('Kubernetes')))
      throw error
    return await notReady(deps, claim, name, asError(error))
  }
}

/** Repeatable: the name is made from the claim's UID. */
async function ensureObject(deps: ClaimDeps, claim: KubeObject): Promise<string> {
  const name = repositoryName(claim)
  try {
    await deps.cluster.create('BackupRepository', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'BackupRepository',
      metadata: { name, labels: { 'velero.io/exclude-from-backup': 'true' } },
      allowedNamespaces: claim['allowedNamespaces'] ?? [],
      repositoryDriver: claim['repositoryDriver'],
      repopsitoryParameters: claim['repopsitoryParameters'],
      backupRepositoryClaim: claim.metadata.name,
    })
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
  }
  return name
}

function readyConditions(
  deps: ClaimDeps,
  claim: KubeObject,
  state: RepositoryState,
  plaintextCredentials: boolean,
): Condition[] {
  const nowMs = deps.clock.nowMs()
  let conditions = setCondition(
    claim['status']?.conditions,
    { type: 'Ready', status: 'True', reason: 'RepositoryOpened', message: `repository ${state.repositoryId} is open` },
    nowMs,
  )
  conditions = setCondition(
    conditions,
    state.recoverySlot
      ? {
          type: 'RecoveryKeyMissing',
          status: 'False',
          reason: 'RecoverySlotPresent',
          message: 'a recovery key can open the repository',
        }
      : {
          type: 'RecoveryKeyMissing',
          status: 'True',
          reason: 'NoRecoverySlot',
          message:
            'if the Secret with the repository key is lost, so are the backups: add recovery-passphrase or recovery-public-key to it',
        },
    nowMs,
  )
  conditions = setCondition(conditions, conditionalPutCondition(state.conditionalPut), nowMs)
  return setCondition(
    conditions,
    plaintextCredentials
      ? {
          type: 'PlaintextCredentials',
          status: 'True',
          reason: 'KeysInParameters',
          message: 'the parameters hold S3 keys in plain text: move them to a Secret and name it',
        }
      : {
          type: 'PlaintextCredentials',
          status: 'False',
          reason: 'SecretReference',
          message: 'credentials are read from a Secret or the platform',
        },
    nowMs,
  )
}

function conditionalPutCondition(works: boolean | undefined): ConditionChange {
  if (works === undefined)
    return {
      type: 'ConcurrentPruneSafe',
      status: 'Unknown',
      reason: 'LocationReadOnly',
      message: 'the location is ReadOnly: backups can be restored, nothing was written to try the store',
    }
  return works
    ? {
        type: 'ConcurrentPruneSafe',
        status: 'True',
        reason: 'ConditionalPutWorks',
        message: 'the store honours PUT with if-none-match and lists what was just written',
      }
    : {
        type: 'ConcurrentPruneSafe',
        status: 'False',
        reason: 'NoConditionalPut',
        message: 'the store ignores PUT with if-none-match: prune runs only while no backup does',
      }
}

async function notReady(deps: ClaimDeps, claim: Claim, name: string, error: Error): Promise<Result> {
  const nowMs = deps.clock.nowMs()
  const object = claim.latest()
  const reason = error instanceof DormouseError ? error.reason : 'InternalError'
  const conditions = setCondition(
    object['status']?.conditions,
    { type: 'Ready', status: 'False', reason, message: error.message },
    nowMs,
  )
  await writeConditions(deps, name, conditions, reason)
  await announce(deps, object, 'Warning', reason, error.message)
  return {
    ending: { status: { conditions, reason }, step: 'waiting', dueAtMs: nowMs + deps.settings.backoffUnitMs },
    why: `not ready: ${reason}`,
  }
}

/** The BackupRepository shows what its claim shows. */
async function writeConditions(deps: ClaimDeps, name: string, conditions: Condition[], reason: string): Promise<void> {
  const repository = await deps.cluster.read('BackupRepository', undefined, name)
  if (repository !== undefined)
    await deps.cluster.patch('BackupRepository', repository, { status: { conditions, reason } })
}
