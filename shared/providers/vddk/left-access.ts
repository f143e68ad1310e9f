// Ends the access that a dead process has left in vCenter: the disk is still protected from migration although it is no longer used.

import { ConnectParams } from './connect-params.ts'
import { codeOf, HOST_USER_PERMISSIONS, VIX_OK } from './errors.ts'
import { check } from './library.ts'
import { describeDisk, IDENTITY, type VddkDiskOptions } from './session.ts'

/**
 * EndAccess without a PrepareForAccess of this process (docs/development/vddk.md#prepareforaccess-and-endaccess). If this process has the
 * disk open, it ends the access itself with its last handle. It is no error if no access was left, or if the account may not protect
 * disks. An access that another identity holds is a TerminalError.
 */
export function endLeftAccess(options: Omit<VddkDiskOptions, 'writable' | 'transportModes'>): void {
  const { library, lock, connection, fcdId, datastoreMoref, snapshotId } = options
  const params = new ConnectParams(library.functions, connection, { fcdId, datastoreMoref, snapshotId })
  try {
    const result = lock.run(() => (lock.isOpen(fcdId) ? VIX_OK : library.functions.endAccess(params.pointer, IDENTITY)))
    if (codeOf(result) !== HOST_USER_PERMISSIONS) check(library, 'EndAccess', result, describeDisk(options))
  } finally {
    params.release()
  }
}
