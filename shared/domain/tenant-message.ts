// How a namespace's own objects and Events report errors. A server's text (addresses, login pages, host names) is for operators only.

/** Reasons whose messages contain only Dormouse's text and text of the object itself, and nothing from a server's answer. */
const OWN_WORDS = new Set([
  '',
  'AccessModeUnsupported',
  'BackupNotFound',
  'Canceled',
  'Canceling',
  'ClaimNeverBound',
  'ClaimNotBound',
  'ClaimNotFound',
  'Completed',
  'DriverUnsupported',
  'FileVolumeUnsupported',
  'GuestClusterUnsupported',
  'LocalModeRestoreUnsupported',
  'LocationMissing',
  'LocationNotAllowed',
  'LocationReadOnly',
  'MetadataInvalid',
  'MetadataTooLarge',
  'NamespaceNotAllowed',
  'NoFreeSlot',
  'NotPermitted',
  'ParametersNotAllowed',
  'Ready',
  'RepositoryNotFound',
  'RepositoryNotOwn',
  'ResourceKindUnsupported',
  'SnapshotIDInvalid',
  'SnapshotReferenceInvalid',
  'StorageClassNotFound',
  'TargetExists',
  'TargetTooSmall',
  'Transferring',
])

/**
 * Returns the message if it contains only Dormouse's own text. Otherwise returns one that names the reason and where an operator finds the
 * full message. The result stays the same while the reason does. `whole`: an object or log that the namespace cannot read.
 */
export function messageForTenant(reason: string, message: string, whole: string): string {
  if (OWN_WORDS.has(reason)) return message
  return `${reason}: what it means is in docs/operations/reasons.md; an operator finds the whole message in ${whole}`
}
