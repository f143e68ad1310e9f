// An object store in a folder: each object is a file. A file appears whole or not at all, and never replaces an existing one. Once a call
// has returned, a power failure undoes nothing of it. Only regular files in real folders are objects: below the store's own folder
// nothing is reached through a link.

import { randomBytes } from 'node:crypto'
import { type FileHandle, realpath } from 'node:fs/promises'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { IncompleteUpload, IncompleteUploads, StoredObject } from '#shared/ports/object-store.ts'
import { flooded, mostNames } from '#shared/ports/repository-bounds.ts'
import type { OpenedStore, OpenStore } from '#shared/ports/stores.ts'
import { linkIfAbsent, writeWhole } from './durable.ts'
import { folderError } from './errors.ts'
import { HeldFolder } from './held-folder.ts'
import { isBelow, notAllowed } from './parameters.ts'
import { type FolderSettings, requireFolder } from './settings.ts'

/** Files that are being written; `link` moves them into place. LIST does not show them. */
const PARTIAL = '.partial-'
/** A folder of objects may be removed between its making and its use, each time that its last object is deleted. */
const MOST_ATTEMPTS = 20
/** Folders within each other that a list enters. Dormouse writes two. */
const MOST_DEPTH = 8

/** The folders of an object below the store's own, and the name of its file. */
type Place = { folders: string[]; name: string }

/** Checks nothing before the first call. The folder must exist. */
export const openFolder: OpenStore = (settings) => new FolderObjectStore(requireFolder(settings))

class FolderObjectStore implements OpenedStore {
  readonly location: string
  /** What a crash has left of an object that was being written. */
  readonly incompleteUploads: IncompleteUploads = {
    list: (signal) => this.#listPartial(signal),
    abort: ({ id }, signal) => this.#removePartial(id, signal),
  }
  readonly #root: string
  readonly #within: string
  /** Folders whose names are durable, by their addresses, and which folders those were. */
  readonly #durable = new Map<string, string>()
  /** Device and inode number of the folder when it was first seen. */
  #identity: string | undefined

  constructor({ path, within }: FolderSettings) {
    this.#root = path
    this.#within = within
    this.location = `file://${path}`
  }

  async get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return await this.#read('get', key, (file) => file.readFile({ signal }), signal)
  }

  async getRange(
    key: string,
    offsetBytes: number,
    lengthBytes: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    return await this.#read('get part of', key, (file) => readFully(file, offsetBytes, lengthBytes), signal)
  }

  async putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    const place = this.#place(key)
    const what = this.#text('put', key)
    return await this.#inRoot(what, signal, async (root) => {
      const partial = `${PARTIAL}${randomBytes(8).toString('hex')}`
      try {
        await writeWhole(root.at(partial), body)
        for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
          const isMade = await this.#link(root, place, root.at(partial), what)
          if (isMade !== undefined) return isMade
        }
        throw new RetryableError('StoreUnavailable', `${what}: its folder is removed again and again`)
      } finally {
        await root.remove(partial)
      }
    })
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    const folders = prefix.split('/').slice(0, -1)
    if (!folders.every(isKeyPart)) throw this.#noName(prefix)
    try {
      const root = await this.#openRoot(signal)
      try {
        yield* this.#listFrom(root, folders, { at: '', prefix, signal })
      } finally {
        await root.close()
      }
    } catch (error) {
      throw folderError(this.#text('list', prefix), error)
    }
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const place = this.#place(key)
    await this.#inRoot(this.#text('delete', key), signal, (root) => this.#remove(root, place, true))
  }

  close(): void {}

  async #read<T>(
    verb: string,
    key: string,
    read: (file: FileHandle) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T | undefined> {
    const { folders, name } = this.#place(key)
    return await this.#inRoot(this.#text(verb, key), signal, async (root) =>
      inFolder(root, folders, async (folder) => {
        const file = await folder.file(name)
        try {
          return file === undefined ? undefined : await read(file)
        } finally {
          await file?.close()
        }
      }),
    )
  }

  /** All of `act` happens in the folder that was checked, even if its volume is unmounted meanwhile. */
  async #inRoot<T>(what: string, signal: AbortSignal | undefined, act: (root: HeldFolder) => Promise<T>): Promise<T> {
    try {
      const root = await this.#openRoot(signal)
      try {
        return await act(root)
      } finally {
        await root.close()
      }
    } catch (error) {
      throw folderError(what, error)
    }
  }

  /** An unmounted disk leaves an empty folder, or none. This must not be taken for an empty store. */
  async #openRoot(signal: AbortSignal | undefined): Promise<HeldFolder> {
    signal?.throwIfAborted()
    const root = await HeldFolder.open(this.#root, this.location)
    if (root === undefined) throw this.#missing('is not there: make it on its volume, and look whether that is mounted')
    try {
      await this.#checkRoot(root)
      return root
    } catch (error) {
      await root.close()
      throw error
    }
  }

  async #checkRoot(root: HeldFolder): Promise<void> {
    const { folder } = await root.identity()
    if (this.#identity === folder) return
    if (this.#identity !== undefined) throw this.#missing('is not the folder that it was: is it still mounted?')
    await this.#checkPlace(root)
    this.#identity = folder
  }

  /** A link must not lead out of the folder that the deployment gives to stores. */
  async #checkPlace(root: HeldFolder): Promise<void> {
    const [real, within] = await Promise.all([root.realPath(), realpath(this.#within)])
    if (!isBelow(real, within)) throw notAllowed(`${this.location} is a link to ${real}, which is not below ${within}`)
  }

  #missing(why: string): RetryableError {
    return new RetryableError('StoreUnavailable', `${this.location} ${why}`)
  }

  /** Makes the folders that are missing. undefined: another process has removed one of them meanwhile. */
  async #link(
    from: HeldFolder,
    { folders: [first, ...folders], name }: Place,
    partial: string,
    what: string,
  ): Promise<boolean | undefined> {
    if (first === undefined) {
      const isMade = await linkIfAbsent(partial, from.at(name), what)
      // What is no file would be taken for an object that another writer has put.
      if (isMade === false) await from.facts(name)
      return isMade
    }
    const isNew = await from.make(first)
    const folder = await from.child(first)
    if (folder === undefined) return undefined
    try {
      await this.#makeDurable(from, folder, isNew)
      return await this.#link(folder, { folders, name }, partial, what)
    } finally {
      await folder.close()
    }
  }

  /** A folder that another process has made may not be durable yet. */
  async #makeDurable(parent: HeldFolder, made: HeldFolder, isNew: boolean): Promise<void> {
    const { where } = made
    const { folder, birth } = await made.identity()
    if (!isNew && this.#durable.get(where) === `${folder}:${birth}`) return
    await parent.sync()
    this.#durable.set(where, `${folder}:${birth}`)
  }

  /** A folder goes with its last object, so that lists do not walk those of all sessions that ever were; those of the first level stay. */
  async #remove(from: HeldFolder, { folders: [first, ...folders], name }: Place, isRoot: boolean): Promise<void> {
    if (first === undefined) {
      if ((await from.facts(name)) === undefined) return
      await from.remove(name)
      await from.sync()
      return
    }
    const isThere = await inFolder(from, [first], async (folder) => {
      await this.#remove(folder, { folders, name }, false)
      return true
    })
    if (isThere && !isRoot && (await from.removeEmpty(first))) this.#durable.delete(`${from.where}/${first}`)
  }

  async *#listFrom(from: HeldFolder, [first, ...folders]: string[], within: Listing): AsyncIterable<StoredObject> {
    if (first === undefined) {
      yield* this.#listAll(from, within)
      return
    }
    const folder = await from.child(first)
    try {
      if (folder !== undefined) yield* this.#listFrom(folder, folders, { ...within, at: `${within.at}${first}/` })
    } finally {
      await folder?.close()
    }
  }

  async *#listAll(folder: HeldFolder, { at, prefix, signal }: Listing): AsyncIterable<StoredObject> {
    if (at.split('/').length > MOST_DEPTH) throw flooded(folder.where, 'folders within folders')
    for (const name of await namesIn(folder, { at, prefix, signal })) {
      signal?.throwIfAborted()
      if (name.endsWith('/')) {
        yield* this.#listFrom(folder, [name.slice(0, -1)], { at, prefix, signal })
        continue
      }
      const facts = await folder.facts(name)
      if (facts !== undefined) yield { key: `${at}${name}`, ...facts }
    }
  }

  async *#listPartial(signal?: AbortSignal): AsyncIterable<IncompleteUpload> {
    const root = await this.#openRoot(signal)
    try {
      for await (const entry of root.entries()) {
        signal?.throwIfAborted()
        if (!entry.name.startsWith(PARTIAL) || !entry.isFile()) continue
        const facts = await root.facts(entry.name)
        if (facts !== undefined) yield { key: entry.name, id: entry.name, startedMs: facts.modifiedMs }
      }
    } catch (error) {
      throw folderError(`list ${this.location}`, error)
    } finally {
      await root.close()
    }
  }

  async #removePartial(name: string, signal?: AbortSignal): Promise<void> {
    if (!name.startsWith(PARTIAL) || name.includes('/')) throw this.#noName(name)
    await this.#inRoot(this.#text('remove', name), signal, (root) => root.remove(name))
  }

  #place(key: string): Place {
    const parts = key.split('/')
    if (!parts.every(isKeyPart)) throw this.#noName(key)
    return { folders: parts.slice(0, -1), name: parts.at(-1) ?? '' }
  }

  #noName(key: string): TerminalError {
    return new TerminalError('ObjectNameInvalid', `${JSON.stringify(key)} cannot name an object in ${this.location}`)
  }

  #text(verb: string, key: string): string {
    return `${verb} ${key} in ${this.location}`
  }
}

async function readFully(file: FileHandle, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
  const { size } = await file.stat()
  const into = new Uint8Array(Math.max(0, Math.min(lengthBytes, size - offsetBytes)))
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await file.read(into, done, into.length - done, offsetBytes + done)
    if (bytesRead === 0) return into.subarray(0, done)
    done += bytesRead
  }
  return into
}

/** Files that the file system or another program puts beside the objects (`.nfs…`, those of rsync) begin with a dot. */
function isKeyPart(name: string): boolean {
  return name !== '' && !name.startsWith('.')
}

/** `at`: the folder, as keys in it begin. */
type Listing = { at: string; prefix: string; signal: AbortSignal | undefined }

/**
 * Names in key order: they are compared as whole keys would be, a folder with its slash. All have to be known before the first is used,
 * so their number is bounded here. TerminalError `RepositoryFlooded`.
 */
async function namesIn(folder: HeldFolder, { at, prefix, signal }: Listing): Promise<string[]> {
  const most = mostNames(prefix)
  const names: string[] = []
  for await (const entry of folder.entries()) {
    signal?.throwIfAborted()
    if (!isKeyPart(entry.name)) continue
    const name = entry.isDirectory() ? `${entry.name}/` : entry.name
    if (!`${at}${name}`.startsWith(prefix)) continue
    if (names.push(name) > most) throw flooded(folder.where, `more than ${most} names`)
  }
  return names.sort()
}

/** undefined: there is no such folder, or `act` says so. */
async function inFolder<T>(
  from: HeldFolder,
  [first, ...rest]: string[],
  act: (folder: HeldFolder) => Promise<T>,
): Promise<T | undefined> {
  if (first === undefined) return await act(from)
  const folder = await from.child(first)
  try {
    return folder === undefined ? undefined : await inFolder(folder, rest, act)
  } finally {
    await folder?.close()
  }
}
