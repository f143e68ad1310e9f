// What a namespace's own objects and Events say of trouble. A server's words (addresses, login pages, host names) are the operators' to read.

/** Reasons whose messages hold our own words and those of the object itself, and nothing that a server has answered. */
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
 * The message as it is when it is our own, else one that names the reason and where an operator finds the whole. It stays the same
 * while the reason does. `whole`: an object or log that the namespace cannot read.
 */
export function messageForTenant(reason: string, message: string, whole: string): string {
  if (OWN_WORDS.has(reason)) return message
  return `${reason}: what it means is in docs/operations/reasons.md; an operator finds the whole message in ${whole}`
}
