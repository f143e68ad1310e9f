// Files that appear whole or not at all, and survive a power failure.

import { link, lstat, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { codeOf, linkError } from './errors.ts'

/** Writes a new file whose bytes are durable. Its name is durable once its folder is synced. */
export async function writeWhole(path: string, body: Uint8Array): Promise<void> {
  const file = await open(path, 'wx')
  try {
    await file.writeFile(body)
    await file.sync()
  } finally {
    await file.close()
  }
}

/**
 * Gives `partial` its name, durably. false: something of that name already exists. undefined: the folder of that name is gone.
 * `what`: for error messages.
 */
export async function linkIfAbsent(partial: string, path: string, what: string): Promise<boolean | undefined> {
  try {
    await link(partial, path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    if (codeOf(error) !== 'EEXIST') throw linkError(what, error)
    // NFS may repeat a call whose answer was lost, and then report EEXIST for its own success. Only the file of that name tells: anybody
    // may have made another link to the partial one.
    if (!(await isSameFile(partial, path))) return false
  }
  await syncFolder(dirname(path))
  return true
}

async function isSameFile(path: string, other: string): Promise<boolean> {
  const [one, two] = await Promise.all([path, other].map(inodeOf))
  return one !== undefined && one === two
}

/** undefined: there is nothing of that name. Does not follow a link. */
async function inodeOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await lstat(path, { bigint: true })
    return `${dev}:${ino}`
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
