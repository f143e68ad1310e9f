// Maps vSphere's faults to Dormouse's reactions. Sources: docs/development/vsphere.md#faults.

import { asError, DormouseError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { excerptOf } from '#shared/kernel/excerpt.ts'
import { VSphereFault } from './soap.ts'
import { childOf, listOf, textOf } from './xml.ts'

type Reaction = { reason: string; again: boolean }

const BUSY: Reaction = { reason: 'VCenterBusy', again: true }
const REFUSED: Reaction = { reason: 'VCenterRefused', again: false }
const DENIED: Reaction = { reason: 'PermissionDenied', again: false }
const FULL: Reaction = { reason: 'DatastoreFull', again: true }
const HOST_AWAY: Reaction = { reason: 'HostUnavailable', again: true }

/** A fault that is not in this table is retried as VCenterFault: only a known reason justifies giving up. */
const REACTIONS: Record<string, Reaction> = {
  // Two tasks that conflict over the disk, its VM or its files.
  InvalidState: BUSY,
  InvalidPowerState: BUSY,
  TaskInProgress: BUSY,
  VslmSyncFault: BUSY,
  FileLocked: BUSY,
  ConcurrentAccess: BUSY,
  ResourceInUse: BUSY,
  VolumeEditorError: BUSY,
  Timedout: BUSY,
  RequestCanceled: BUSY,
  // ESXi hosts in maintenance or disconnected.
  HostCommunication: HOST_AWAY,
  HostNotConnected: HOST_AWAY,
  HostNotReachable: HOST_AWAY,
  HostConnectFault: HOST_AWAY,
  InaccessibleDatastore: HOST_AWAY,
  NoDiskSpace: FULL,
  InsufficientResourcesFault: FULL,
  InsufficientStorageSpace: FULL,
  NoPermission: DENIED,
  RestrictedVersion: { reason: 'LicenseMissing', again: false },
  NotEnoughLicenses: { reason: 'LicenseMissing', again: false },
  TooManySnapshotLevels: { reason: 'SnapshotLimitReached', again: true },
  InvalidLogin: { reason: 'VCenterLoginFailed', again: true },
  NotAuthenticated: { reason: 'VCenterSessionExpired', again: true },
  InvalidArgument: REFUSED,
  InvalidRequest: REFUSED,
  InvalidType: REFUSED,
  MethodNotFound: REFUSED,
  NotSupported: REFUSED,
  NotImplemented: REFUSED,
}

const UNKNOWN: Reaction = { reason: 'VCenterFault', again: true }

/** `doing`: "take a snapshot of volume 91ff4aef-…", for the message. Dormouse's own errors pass unchanged. */
export function errorOf(thrown: unknown, vcenter: string, doing: string): Error {
  if (thrown instanceof DormouseError) return thrown
  if (!(thrown instanceof VSphereFault)) return asError(thrown)
  const reaction = (Object.hasOwn(REACTIONS, thrown.fault) ? REACTIONS[thrown.fault] : undefined) ?? UNKNOWN
  const message = `vCenter ${vcenter} could not ${doing}: ${describeFault(thrown)}`
  return reaction.again
    ? new RetryableError(reaction.reason, message, { cause: thrown })
    : new TerminalError(reaction.reason, message, { cause: thrown })
}

/**
 * For a task that ended in a fault. A retryable fault becomes TaskFailed, so that the caller sees that this task is over and starts
 * another one, instead of polling the same one again. Arguments were checked when the task was started: InvalidArgument means that
 * something has been deleted since, which the next start finds out.
 */
export function taskErrorOf(fault: VSphereFault, vcenter: string, task: string): Error {
  const error = errorOf(fault, vcenter, `finish ${task}`)
  return error instanceof RetryableError || fault.fault === 'InvalidArgument'
    ? new RetryableError('TaskFailed', error.message, { cause: fault })
    : error
}

const MOST_WORDS = 1000

/** Neither the fault's type nor its text is enough alone: the type is for searching, the text for reading. */
function describeFault(fault: VSphereFault): string {
  const property = textOf(fault.detail, 'invalidProperty')
  const privileges = missingPrivileges(fault)
  const details = [
    property === undefined ? '' : ` (${excerptOf(property, 80)})`,
    privileges.length === 0 ? '' : ` (grant ${privileges.join(', ')})`,
    fault.message === '' ? '' : `, "${excerptOf(fault.message, 300)}"`,
    ...messageKeys(fault).map((key) => ` [${key}]`),
  ]
  return excerptOf(`${excerptOf(fault.fault, 80)}${details.join('')}`, MOST_WORDS)
}

/** NoPermission names one privilege; since 7.0.3 it names all that are missing for each object. */
function missingPrivileges(fault: VSphereFault): string[] {
  const single = textOf(fault.detail, 'privilegeId')
  const all = listOf(fault.detail, 'missingPrivileges').flatMap((entity) => listOf(entity, 'privilegeIds'))
  const named = all.filter((privilege): privilege is string => typeof privilege === 'string')
  return [...new Set(single === undefined || single === '' ? named : [single, ...named])].sort()
}

/** Keys of `faultMessage`, such as `vim.hostd.vmsvc.cbt.noTrack`. */
function messageKeys(fault: VSphereFault): string[] {
  return listOf(fault.detail, 'faultMessage').flatMap((message) => textOf(message, 'key') ?? [])
}

/** The object that is missing, according to a call about a disk and its snapshot. */
type Missing = 'volume' | 'snapshot'

/**
 * vslm's RetrieveVStorageObject returns InvalidArgument with the property `VolumeId`, vim25 and others return NotFound. An
 * InvalidArgument without a property (the simulator's tasks) may mean either; the caller must find out.
 */
export function missingOf(thrown: unknown): Missing | undefined {
  if (!(thrown instanceof VSphereFault)) return undefined
  if (thrown.fault === 'NotFound' || thrown.fault === 'ManagedObjectNotFound') return 'volume'
  if (thrown.fault !== 'InvalidArgument') return undefined
  const property = (textOf(thrown.detail, 'invalidProperty') ?? '').toLowerCase()
  if (property === 'snapshotid') return 'snapshot'
  return property === 'volumeid' || property === 'id' || property === 'vstorageobjectid' ? 'volume' : undefined
}

/**
 * Why the changed areas are unknown, so that everything allocated must be read; undefined: the fault means something else. vSphere's
 * change tracking answers with a FileFault whose first message has one of three keys; a change id that does not fit this disk, and a
 * start beyond its end (it shrank or grew), come as InvalidArgument.
 */
export function changeTrackingLossOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof VSphereFault)) return undefined
  if (thrown.fault === 'FileFault') {
    return messageKeys(thrown).some((key) => /\.cbt\.(noTrack|noEpoch|cannotGetChanges)$/.test(key))
      ? describeFault(thrown)
      : undefined
  }
  const property = thrown.fault === 'InvalidArgument' ? textOf(thrown.detail, 'invalidProperty') : undefined
  return /^(startOffset|changeId|deviceKey)$/i.test(property ?? '') ? describeFault(thrown) : undefined
}

/** A LocalizedMethodFault, as in a task's `error`. */
export function localizedFaultOf(error: Parameters<typeof childOf>[0]): VSphereFault {
  const detail = childOf(error, 'fault')
  return new VSphereFault(textOf(detail, '$type') ?? 'Fault', textOf(error, 'localizedMessage') ?? '', detail)
}
