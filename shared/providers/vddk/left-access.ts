// Takes back what a process that died has left in vCenter: a disk that was protected from migration and is not used any more.

import { ConnectParams } from './connect-params.ts'
import { codeOf, HOST_USER_PERMISSIONS, VIX_OK } from './errors.ts'
import { check } from './library.ts'
import { describeDisk, IDENTITY, type VddkDiskOptions } from './session.ts'

/**
 * EndAccess without a PrepareForAccess of this process (docs/development/vddk.md#prepareforaccess-and-endaccess). What this process has open
 * it ends itself, with its last handle. Nothing left over is fine, and so is an account that may not protect disks; what another
 * identity holds is a TerminalError.
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
