// The marks that the VDDK stand-in leaves beside its disks, as a vCenter remembers which disks PrepareForAccess has protected.

import { readdir } from 'node:fs/promises'
import path from 'node:path'

/** Ids of disks. */
export async function heldIn(dataRoot: string): Promise<string[]> {
  try {
    const names = await readdir(path.join(dataRoot, '.vddk-prepared'))
    return names.map((name) => name.slice(name.indexOf('+') + 1))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
