// The table of VDDK's error codes: what each means and what the operator can do (docs/development/vddk.md#error-codes).

/** No `retryAfterSeconds`: no retry helps. `fix` is written for the operator who reads the condition. */
export type Meaning = { reason: string; retryAfterSeconds?: number; text: string; fix: string }

const SOON = 5
const LATER = 30
const MUCH_LATER = 60

const CHECK_PORT_902 =
  'open TCP 902 from the nodes that move data to every ESXi host, and check that the host names resolve'
const CHECK_DISK = 'check that the volume still exists in vCenter'
const CHECK_CERTIFICATE = "check vCenter's certificate and the pinned fingerprint"
const CHECK_SERVER = 'check the server name and that TCP 443 is open'
const READ_LOG = "see VDDK's lines in the log"
const REPORT = 'this is a fault in Dormouse or in VDDK: report it with the log'
const WAIT = 'nothing to do: the transfer goes on from its checkpoint'

/** In the order of the codes. */
export const MEANINGS: Readonly<Record<number, Meaning>> = {
  1: { reason: 'VddkFailure', retryAfterSeconds: LATER, text: 'VDDK failed without saying why', fix: READ_LOG },
  2: {
    reason: 'VddkHostMemory',
    retryAfterSeconds: LATER,
    text: "the ESXi host's memory for disk transfers is used up",
    fix: 'move fewer disks at a time, or lower vixDiskLib.nfcAio.Session.BufCount',
  },
  3: { reason: 'VddkInvalidArgument', text: 'VDDK refused an argument', fix: REPORT },
  4: { reason: 'VddkDiskNotFound', text: 'the disk does not exist', fix: CHECK_DISK },
  5: { reason: 'VddkDiskBusy', retryAfterSeconds: LATER, text: 'the disk is in use by another operation', fix: WAIT },
  6: {
    reason: 'VddkNotSupported',
    text: 'VDDK does not support this',
    fix: 'use a VDDK that fits the vCenter (N-2 to N+1)',
  },
  13: {
    reason: 'VddkAccessDenied',
    retryAfterSeconds: MUCH_LATER,
    text: 'the disk may not be accessed in this way',
    fix: "check the account's disk privileges and that DORMOUSE_VDDK_TRANSPORT names nbd or nbdssl",
  },
  15: {
    reason: 'VddkDiskLocked',
    retryAfterSeconds: LATER,
    text: 'the disk is locked by another writer or reader',
    fix: 'wait for the other transfer to close it; detach the volume if a VM holds it',
  },
  20: { reason: 'VddkNotSupported', text: 'not supported on a remote disk', fix: REPORT },
  24: { reason: 'VddkInvalidArgument', text: 'a buffer is too small', fix: REPORT },
  25: { reason: 'VddkDiskNotFound', text: 'vCenter does not know the disk', fix: CHECK_DISK },
  26: {
    reason: 'VddkHostNotConnected',
    retryAfterSeconds: MUCH_LATER,
    text: 'the ESXi host is not connected',
    fix: 'reconnect the host in vCenter',
  },
  35: {
    reason: 'VddkAuthenticationFailed',
    text: 'vCenter refused the user name or the password',
    fix: 'correct the vCenter credentials Secret; a repeated wrong password locks the account',
  },
  36: { reason: 'VddkConnectionLost', retryAfterSeconds: SOON, text: 'the connection to the host was lost', fix: WAIT },
  3014: {
    reason: 'VddkPermissionDenied',
    text: 'the account lacks privileges',
    fix: 'grant Global.DisableMethods and Global.EnableMethods at the vCenter root, and the disk privileges of the installation guide',
  },
  4000: { reason: 'VddkDiskNotFound', text: 'vCenter does not know the virtual machine', fix: CHECK_DISK },
  13003: {
    reason: 'VddkSnapshotNotFound',
    text: 'the snapshot does not exist',
    fix: 'take a new backup: its local snapshot is gone',
  },
  14008: {
    reason: 'VddkHostNotFound',
    retryAfterSeconds: MUCH_LATER,
    text: 'the ESXi host was not found',
    fix: CHECK_PORT_902,
  },
  14009: {
    reason: 'VddkHostUnreachable',
    retryAfterSeconds: MUCH_LATER,
    text: 'this node cannot reach TCP 902 of the ESXi host',
    fix: CHECK_PORT_902,
  },
  14010: {
    reason: 'VddkHostUnreachable',
    retryAfterSeconds: LATER,
    text: 'a TCP socket to the ESXi host failed',
    fix: CHECK_PORT_902,
  },
  14011: {
    reason: 'VddkConnectionLost',
    retryAfterSeconds: SOON,
    text: 'the TCP connection to the ESXi host was lost',
    fix: WAIT,
  },
  14014: {
    reason: 'VddkHostUnavailable',
    retryAfterSeconds: MUCH_LATER,
    text: 'the ESXi host is shutting down',
    fix: WAIT,
  },
  14015: {
    reason: 'VddkHostUnavailable',
    retryAfterSeconds: MUCH_LATER,
    text: 'the ESXi host is in maintenance mode',
    fix: WAIT,
  },
  16000: { reason: 'VddkDiskInvalid', text: 'the disk is invalid', fix: 'check the volume in vCenter' },
  16001: { reason: 'VddkNotInitialised', text: 'VDDK is not initialised', fix: REPORT },
  16007: {
    reason: 'VddkOutOfRange',
    text: 'the request lies outside of the disk',
    fix: 'check whether the volume was shrunk or replaced',
  },
  16053: {
    reason: 'VddkNotLoadable',
    text: 'a part of VDDK could not be started',
    fix: 'check that the VDDK distribution is complete and that its log lines name no other OpenSSL',
  },
  16054: {
    reason: 'VddkConnectionLost',
    retryAfterSeconds: SOON,
    text: 'the connection is no longer valid',
    fix: WAIT,
  },
  16064: {
    reason: 'VddkNoLicense',
    text: 'the host has no licence for this',
    fix: 'license the ESXi host for backup APIs',
  },
  18000: {
    reason: 'VddkCannotConnect',
    retryAfterSeconds: LATER,
    text: 'vCenter cannot be reached',
    fix: CHECK_SERVER,
  },
  20005: {
    reason: 'VddkOperationDisabled',
    retryAfterSeconds: LATER,
    text: 'another backup has locked the disk against migration and did not end',
    fix: 'end the other backup; a mark that Dormouse left in a crash goes by itself',
  },
  26000: { reason: 'VddkInvalidArgument', text: 'synchronous and asynchronous transfers were mixed', fix: REPORT },
  30006: {
    reason: 'VddkHostNotFound',
    retryAfterSeconds: MUCH_LATER,
    text: 'a host name did not resolve',
    fix: 'check DNS in the pod',
  },
  30007: {
    reason: 'VddkCannotConnect',
    retryAfterSeconds: LATER,
    text: 'the HTTPS connection failed',
    fix: CHECK_SERVER,
  },
  30028: { reason: 'VddkCannotConnect', retryAfterSeconds: LATER, text: 'an HTTPS request timed out', fix: WAIT },
  30035: {
    reason: 'VddkTlsFailed',
    retryAfterSeconds: MUCH_LATER,
    text: 'TLS to vCenter failed',
    fix: CHECK_CERTIFICATE,
  },
  30201: {
    reason: 'VddkTlsFailed',
    retryAfterSeconds: MUCH_LATER,
    text: 'TLS to vCenter failed',
    fix: CHECK_CERTIFICATE,
  },
}

/**
 * A wrong thumbprint appears as "unknown" from Open, not from ConnectEx; so do AIO buffers of more than 16 MiB
 * (docs/development/vddk.md#error-codes).
 */
export const OPEN_FAILED: Meaning = {
  reason: 'VddkOpenFailed',
  retryAfterSeconds: LATER,
  text: 'the disk could not be opened',
  fix: "check that the pinned thumbprint is the vCenter certificate's SHA-1, and that nfcAio BufSizeIn64KB x BufCount is at most 256",
}
/** Any other of 30001 to 30202. */
export const HTTP_FAILED: Meaning = {
  reason: 'VddkCannotConnect',
  retryAfterSeconds: LATER,
  text: 'an HTTPS request failed',
  fix: CHECK_SERVER,
}
export const UNKNOWN: Meaning = {
  reason: 'VddkFailure',
  retryAfterSeconds: LATER,
  text: 'an error that Dormouse does not know',
  fix: READ_LOG,
}
