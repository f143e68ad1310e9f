// A folder that is held open. Names are looked up in the folder itself, not along its path: whoever puts a link or another folder into
// that path after a check leads nobody away. No call follows a link below it, and none opens what may block or act when it is opened.

import { constants, type Dirent } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, opendir, realpath, rmdir, unlink } from 'node:fs/promises'
import type { TerminalError } from '#shared/kernel/errors.ts'
import { codeOf } from './errors.ts'
import { notAllowed } from './parameters.ts'

type Kind = {
  isFile(): boolean
  isDirectory(): boolean
  isSymbolicLink(): boolean
  isFIFO(): boolean
  isSocket(): boolean
}

export type FileFacts = { bytes: number; modifiedMs: number }

/** The open of a FIFO without writers waits for ever without O_NONBLOCK, and keeps one of the few threads for files. */
const FILE = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW
const FOLDER = FILE | constants.O_DIRECTORY
/** The folder is in use, or holds something, or is gone: it stays as it is. */
const NOT_REMOVED = ['ENOTEMPTY', 'EEXIST', 'ENOENT', 'EBUSY']

export class HeldFolder {
  /** For messages, as an address. */
  readonly where: string
  readonly #handle: FileHandle

  private constructor(handle: FileHandle, where: string) {
    this.#handle = handle
    this.where = where
  }

  /** Follows links: a store's own folder may be one. undefined: there is nothing. TerminalError `FolderNotAllowed`: it is no folder. */
  static async open(path: string, where: string): Promise<HeldFolder | undefined> {
    const handle = await absentIsUndefined(() => open(path, constants.O_RDONLY | constants.O_NONBLOCK), 'ENOTDIR')
    if (handle === undefined) return undefined
    if (await isOrClosed(handle, (facts) => facts.isDirectory())) return new HeldFolder(handle, where)
    throw notAllowed(`${where} is no folder: choose another path`)
  }

  /** undefined: there is nothing of that name. TerminalError `FolderNotAllowed`: it is a link or a file. */
  async child(name: string): Promise<HeldFolder | undefined> {
    const handle = await this.#open(name, FOLDER, (facts) => facts.isDirectory())
    return handle === undefined ? undefined : new HeldFolder(handle, `${this.where}/${name}`)
  }

  /** undefined: there is nothing of that name. TerminalError `FolderNotAllowed`: it is no regular file. */
  async file(name: string): Promise<FileHandle | undefined> {
    return await this.#open(name, FILE, (facts) => facts.isFile())
  }

  /** As `file`. */
  async facts(name: string): Promise<FileFacts | undefined> {
    const found = await absentIsUndefined(() => lstat(this.at(name)))
    if (found === undefined) return undefined
    if (!found.isFile()) throw this.#foreign(name, found)
    return { bytes: found.size, modifiedMs: Math.floor(found.mtimeMs) }
  }

  /** Names in no order, a part of them at a time. */
  async *entries(): AsyncIterable<Dirent> {
    for await (const entry of await opendir(this.#path, { bufferSize: 256 })) yield entry
  }

  /** true: made by this call. */
  async make(name: string): Promise<boolean> {
    try {
      await mkdir(this.at(name))
      return true
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false
      throw error
    }
  }

  /** Succeeds if there is nothing of that name. */
  async remove(name: string): Promise<void> {
    await absentIsUndefined(() => unlink(this.at(name)))
  }

  /** true: it was empty, and is gone. */
  async removeEmpty(name: string): Promise<boolean> {
    try {
      await rmdir(this.at(name))
      return true
    } catch (error) {
      if (NOT_REMOVED.includes(codeOf(error) ?? '')) return false
      throw error
    }
  }

  /** A folder that is made anew may get the inode number of the one that was removed, but not its time. */
  async identity(): Promise<{ folder: string; birth: string }> {
    const { dev, ino, birthtimeNs } = await this.#handle.stat({ bigint: true })
    return { folder: `${dev}:${ino}`, birth: String(birthtimeNs) }
  }

  async realPath(): Promise<string> {
    return await realpath(this.#path)
  }

  /** A path for one call to the file system, while this folder is held. The call must not follow a link at its end. */
  at(name: string): string {
    return `${this.#path}/${name}`
  }

  async sync(): Promise<void> {
    await this.#handle.sync()
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  /** Linux resolves it to the folder that is held, wherever that lies by now. */
  get #path(): string {
    return `/proc/self/fd/${this.#handle.fd}`
  }

  async #open(name: string, flags: number, isWanted: (facts: Kind) => boolean): Promise<FileHandle | undefined> {
    try {
      const handle = await absentIsUndefined(() => open(this.at(name), flags))
      if (handle === undefined || (await isOrClosed(handle, isWanted))) return handle
    } catch (error) {
      // A link, a socket, a file in a folder's place: each system has its own code, so the name is looked at.
      const found = await absentIsUndefined(() => lstat(this.at(name)))
      if (found === undefined || isWanted(found)) throw error
    }
    throw this.#foreign(name, await lstat(this.at(name)))
  }

  #foreign(name: string, found: Kind): TerminalError {
    return notAllowed(
      `${this.where}/${name} is ${nameOf(found)}, which Dormouse never makes there, and does not use: find out who made it, and remove it`,
    )
  }
}

/** false: it is something else, and closed. */
async function isOrClosed(handle: FileHandle, isWanted: (facts: Kind) => boolean): Promise<boolean> {
  let isIt = false
  try {
    isIt = isWanted(await handle.stat())
    return isIt
  } finally {
    if (!isIt) await handle.close()
  }
}

function nameOf(found: Kind): string {
  if (found.isSymbolicLink()) return 'a symbolic link'
  if (found.isDirectory()) return 'a folder'
  if (found.isFile()) return 'a file'
  if (found.isFIFO()) return 'a named pipe'
  return found.isSocket() ? 'a socket' : 'a device'
}

async function absentIsUndefined<T>(act: () => Promise<T>, alsoAbsent = 'ENOENT'): Promise<T | undefined> {
  try {
    return await act()
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT' || code === alsoAbsent) return undefined
    throw error
  }
}
