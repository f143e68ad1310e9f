// Files that appear whole or not at all, and survive a power failure.

import { link, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { codeOf, linkError } from './errors.ts'

/** Writes a new file whose bytes are durable. Its name is durable once its folder is synced (syncFolder). */
export async function writeWhole(path: string, body: Uint8Array): Promise<void> {
  const file = await open(path, 'wx')
  try {
    await file.writeFile(body)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Gives `partial` its name, durably. false: a file of that name already exists. `what`: for error messages. */
export async function linkIfAbsent(partial: string, path: string, what: string): Promise<boolean> {
  try {
    await link(partial, path)
  } catch (error) {
    // NFS may repeat a call whose answer was lost, and then report EEXIST for its own success: the number of links tells.
    const isOurs = codeOf(error) === 'EEXIST' && (await stat(partial)).nlink > 1
    if (codeOf(error) === 'EEXIST' && !isOurs) return false
    if (!isOurs) throw linkError(what, error)
  }
  await syncFolder(dirname(path))
  return true
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
