// An object store in a folder: each object is a file. A file appears whole or not at all, and never replaces an existing one. Once a call
// has returned, a power failure undoes nothing of it.

import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, readFile, realpath, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { IncompleteUpload, IncompleteUploads, StoredObject } from '#shared/ports/object-store.ts'
import type { OpenedStore, OpenStore } from '#shared/ports/stores.ts'
import { linkIfAbsent, syncFolder, writeWhole } from './durable.ts'
import { codeOf, folderError } from './errors.ts'
import { isBelow, notAllowed } from './parameters.ts'
import { type FolderSettings, requireFolder } from './settings.ts'

/** Files that are being written; `link` moves them into place. LIST does not show them. */
const PARTIAL = '.partial-'

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
  /** Folders whose names are durable, up to the store's own folder. */
  readonly #durable = new Set<string>()
  /** Device and inode number of the folder when it was first seen. */
  #identity: string | undefined

  constructor({ path, within }: FolderSettings) {
    this.#root = path
    this.#within = within
    this.location = `file://${path}`
  }

  async get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const path = await this.#begin(key, signal)
    return await absentIsUndefined(this.#text('get', key), () => readFile(path, { signal }))
  }

  async getRange(
    key: string,
    offsetBytes: number,
    lengthBytes: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const path = await this.#begin(key, signal)
    return await absentIsUndefined(this.#text('get part of', key), async () => {
      const file = await open(path)
      try {
        return await readFully(file, offsetBytes, lengthBytes)
      } finally {
        await file.close()
      }
    })
  }

  async putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    const path = await this.#begin(key, signal)
    const what = this.#text('put', key)
    const partial = join(this.#root, `${PARTIAL}${randomBytes(8).toString('hex')}`)
    try {
      await this.#makeFolder(dirname(path))
      // The volume may have been unmounted in the meantime, and the folder was then created below the mount point.
      await this.#checkFolder()
      await writeWhole(partial, body)
      return await linkIfAbsent(partial, path, what)
    } catch (error) {
      throw folderError(what, error)
    } finally {
      await absentIsUndefined(what, () => unlink(partial))
    }
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
    signal?.throwIfAborted()
    await this.#checkFolder()
    for await (const key of this.#keysBelow(folder, prefix)) {
      signal?.throwIfAborted()
      const facts = await absentIsUndefined(this.#text('list', key), () => stat(this.#path(key)))
      if (facts !== undefined) yield { key, bytes: facts.size, modifiedMs: Math.floor(facts.mtimeMs) }
    }
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const path = await this.#begin(key, signal)
    await absentIsUndefined(this.#text('delete', key), async () => {
      await unlink(path)
      await syncFolder(dirname(path))
    })
  }

  close(): void {}

  async #begin(key: string, signal: AbortSignal | undefined): Promise<string> {
    signal?.throwIfAborted()
    const path = this.#path(key)
    await this.#checkFolder()
    return path
  }

  /** An unmounted disk leaves an empty folder, or none. This must not be taken for an empty store. */
  async #checkFolder(): Promise<void> {
    const facts = await absentIsUndefined(`look at ${this.location}`, () => stat(this.#root))
    if (facts === undefined)
      throw this.#missing('is not there: make it on its volume, and look whether that is mounted')
    if (!facts.isDirectory()) throw notAllowed(`${this.location} is no folder: choose another path`)
    const identity = `${facts.dev}:${facts.ino}`
    if (this.#identity === identity) return
    if (this.#identity !== undefined) throw this.#missing('is not the folder that it was: is it still mounted?')
    await this.#checkPlace()
    this.#identity = identity
  }

  /** A link must not lead out of the folder that the deployment gives to stores. */
  async #checkPlace(): Promise<void> {
    const what = `look at ${this.location}`
    const real = await absentIsUndefined(what, () => realpath(this.#root))
    const within = await absentIsUndefined(what, () => realpath(this.#within))
    if (real === undefined || within === undefined) throw this.#missing('went away')
    if (!isBelow(real, within)) throw notAllowed(`${this.location} is a link to ${real}, which is not below ${within}`)
  }

  #missing(why: string): RetryableError {
    return new RetryableError('StoreUnavailable', `${this.location} ${why}`)
  }

  /** Keys in order: names are compared as whole keys would be, a folder with its slash. */
  async *#keysBelow(folder: string, prefix: string): AsyncIterable<string> {
    const what = this.#text('list', folder)
    const found = await absentIsUndefined(what, () => readdir(join(this.#root, folder), { withFileTypes: true }))
    const names = (found ?? []).map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort()
    for (const name of names) {
      const key = `${folder}${name}`
      if (key.startsWith(PARTIAL)) continue
      if (!key.startsWith(prefix) && !prefix.startsWith(key)) continue
      if (name.endsWith('/')) yield* this.#keysBelow(key, prefix)
      else if (key.startsWith(prefix)) yield key
    }
  }

  /** A folder that another process has made may not be durable yet. */
  async #makeFolder(path: string): Promise<void> {
    await mkdir(path, { recursive: true })
    if (this.#durable.has(path)) return
    for (let name = path; name !== this.#root; name = dirname(name)) await syncFolder(dirname(name))
    this.#durable.add(path)
  }

  async *#listPartial(signal?: AbortSignal): AsyncIterable<IncompleteUpload> {
    signal?.throwIfAborted()
    await this.#checkFolder()
    const what = `list ${this.location}`
    for (const name of (await absentIsUndefined(what, () => readdir(this.#root))) ?? []) {
      signal?.throwIfAborted()
      if (!name.startsWith(PARTIAL)) continue
      const facts = await absentIsUndefined(what, () => stat(join(this.#root, name)))
      if (facts !== undefined) yield { key: name, id: name, startedMs: Math.floor(facts.mtimeMs) }
    }
  }

  async #removePartial(name: string, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (!name.startsWith(PARTIAL) || name.includes('/')) throw this.#noName(name)
    await absentIsUndefined(this.#text('remove', name), () => unlink(join(this.#root, name)))
  }

  #path(key: string): string {
    if (key === '' || key.split('/').some((part) => part === '' || part.startsWith('.'))) throw this.#noName(key)
    return join(this.#root, key)
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

async function absentIsUndefined<T>(what: string, act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act()
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw folderError(what, error)
  }
}
