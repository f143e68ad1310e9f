// What a claim and its BackupRepository report about the bucket, as changes to conditions: each object keeps its own list.

import type { Condition } from '#shared/api/kinds.ts'
import { type ConditionChange, setCondition } from '#shared/domain/conditions.ts'
import { keySlotCondition } from '#shared/domain/key-slot-condition.ts'
import type { StoreWarning } from '#shared/domain/store-rules.ts'
import type { RepositoryState } from '#shared/ports/mover.ts'

/** Conditions that a tenant wrote into the status of a claim are not copied to the BackupRepository, and vice versa. */
export function applied(list: Condition[] | undefined, changes: ConditionChange[], nowMs: number): Condition[] {
  return changes.reduce((conditions, change) => setCondition(conditions, change, nowMs), list ?? [])
}

/** `plaintextCredentials`: as in StoreParameters. */
export function readyConditions(
  state: RepositoryState,
  plaintextCredentials: StoreWarning | undefined,
): ConditionChange[] {
  return [
    { type: 'Ready', status: 'True', reason: 'RepositoryOpened', message: `repository ${state.repositoryId} is open` },
    recoveryCondition(state.recoverySlot),
    keySlotCondition(state.damagedSlots),
    conditionalPutCondition(state.conditionalPut),
    credentialsCondition(plaintextCredentials),
  ]
}

function recoveryCondition(present: boolean): ConditionChange {
  return present
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
      }
}

function credentialsCondition(inPlainText: StoreWarning | undefined): ConditionChange {
  return inPlainText === undefined
    ? {
        type: 'PlaintextCredentials',
        status: 'False',
        reason: 'SecretReference',
        message: 'credentials are read from a Secret or the platform',
      }
    : {
        type: 'PlaintextCredentials',
        status: 'True',
        reason: 'KeysInParameters',
        message: `${inPlainText.text}: ${inPlainText.fix}`,
      }
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
