// What a mover that died has left at a disk is ended through VDDK, on the main thread.

import type { DiskRef } from '#shared/ports/mover.ts'
import type { DiskSettings } from './protocol.ts'

/** Adapters are loaded when needed. Disk files of tests know no protection. */
export async function endAccess(
  { access, fcdId, snapshotId }: DiskRef,
  { vddk }: DiskSettings,
  shared: SharedArrayBuffer | undefined,
): Promise<void> {
  if (vddk === undefined || shared === undefined) return
  const [{ endLeftAccess }, { loadVddk }, { VddkLock }] = await Promise.all([
    import('#shared/providers/vddk/left-access.ts'),
    import('#shared/providers/vddk/library.ts'),
    import('#shared/providers/vddk/lock.ts'),
  ])
  endLeftAccess({
    library: loadVddk(vddk.libDir),
    lock: new VddkLock(shared),
    connection: access,
    fcdId,
    datastoreMoref: access.datastoreMoref,
    snapshotId,
  })
}
