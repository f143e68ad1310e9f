// The providers of disks that a mover can use. Their code is loaded only when it is needed: VDDK's is native.

import { TerminalError } from '#shared/kernel/errors.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import type { Disk } from '#shared/ports/disk.ts'
import type { DiskProvider } from '#shared/ports/disk-provider.ts'
import type { DiskRef } from '#shared/ports/mover.ts'
import type { FileSettings } from '#shared/providers/file/provider.ts'
import type { VddkSettings } from '#shared/providers/vddk/provider.ts'

/** How a mover opens disks. `file`: whatever disk is requested, that file is opened. */
export type DiskSettings = VddkSettings | FileSettings

/** What a worker receives when it is created. `shared`: from the provider in the main thread. */
export type WorkerBirth = Pick<DiskProvider, 'shared'> & {
  disks: DiskSettings | undefined
  disk: DiskRef
  writable: boolean
}

/** Without a provider, no disk can be opened, and no disk keeps any access. */
const NO_PROVIDER: DiskProvider = { shared: undefined, writers: 1, endAccess: () => {} }

/** Runs in the mover's main thread, before the first worker. */
export async function startProvider(disks: DiskSettings | undefined): Promise<DiskProvider> {
  switch (disks?.provider) {
    case undefined:
      return NO_PROVIDER
    case 'vddk':
      return (await import('#shared/providers/vddk/provider.ts')).startVddk(disks)
    case 'file':
      return (await import('#shared/providers/file/provider.ts')).startFiles()
    default:
      return unreachable(disks)
  }
}

/** Runs in the calling thread, which is a worker's. */
export async function openDisk({ disks, shared, disk, writable }: WorkerBirth): Promise<Disk> {
  switch (disks?.provider) {
    case undefined:
      throw new TerminalError('VddkNotFound', 'this mover was started without VDDK: set DORMOUSE_VDDK_DIR')
    case 'vddk':
      return (await import('#shared/providers/vddk/provider.ts')).openVddk(disks, shared, disk, writable)
    case 'file':
      return (await import('#shared/providers/file/provider.ts')).openFile(disks, writable)
    default:
      return unreachable(disks)
  }
}

/** The environment that the child needs: the loader reads some variables when a process starts. */
export async function environmentFor(
  disks: DiskSettings | undefined,
  env: NodeJS.ProcessEnv,
): Promise<NodeJS.ProcessEnv> {
  if (disks?.provider !== 'vddk') return env
  const { vddkEnvironment } = await import('#shared/providers/vddk/library.ts')
  return vddkEnvironment(disks.libDir, env)
}
