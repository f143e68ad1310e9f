// The environment's folder, which holds all its state. It is removed at the end, or by a later start if its starter was killed.

import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

const PREFIX = 'dormouse-environment-'
const OWNER = 'owner'

export async function makeFolder(wanted: string | undefined): Promise<string> {
  const folder = wanted === undefined ? await mkdtemp(path.join(os.tmpdir(), PREFIX)) : path.resolve(wanted)
  await mkdir(path.join(folder, 'logs'), { recursive: true })
  await writeFile(path.join(folder, OWNER), identity(process.pid)!)
  return folder
}

export async function removeFolder(folder: string): Promise<void> {
  // Files may still appear while the last process is being reaped.
  await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
}

/** Removes temporary folders whose starter is gone without having removed them. */
export async function sweepFolders(): Promise<void> {
  const names = (await readdir(os.tmpdir())).filter((name) => name.startsWith(PREFIX))
  for (const name of names) {
    const folder = path.join(os.tmpdir(), name)
    const owner = await readFile(path.join(folder, OWNER), 'utf8').catch(() => undefined)
    // No owner yet: another starter is just making it.
    if (owner !== undefined && owner !== identity(Number(owner.split(' ')[0]))) await removeFolder(folder)
  }
}

/** Process id and start time: the id alone may be used again for another process. undefined: no such process. */
export function identity(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // The 22nd field of the line; the first two stand before the bracket. A zombie is gone as well.
    return fields[0] === 'Z' ? undefined : `${pid} ${fields[19]}`
  } catch {
    return undefined
  }
}
