// An object store in a folder: each object is a file. A file appears whole or not at all, and only where none stands.

import { randomBytes } from 'node:crypto'
import { type FileHandle, link, mkdir, open, readdir, readFile, stat, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { ObjectStore, StoredObject } from '#shared/ports/object-store.ts'

/** Files being written; `link` moves them into place. Never listed. */
const PARTIAL = '.partial-'

export class FolderObjectStore implements ObjectStore {
  readonly location: string
  readonly #root: string
  readonly #syncs: boolean
  /** Device and number of the folder when it was first seen. */
  #identity: string | undefined

  /** `syncs: false` trades durability at a power cut for speed; tests use it. */
  constructor(folder: string, options: { syncs?: boolean } = {}) {
    this.#root = resolve(folder)
    this.location = `file://${this.#root}`
    this.#syncs = options.syncs ?? true
  }

  async get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    signal?.throwIfAborted()
    const path = this.#path(key)
    await this.#checkFolder()
    return absentIsUndefined(() => readFile(path, { signal }))
  }

  async getRange(
    key: string,
    offsetBytes: number,
    lengthBytes: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    signal?.throwIfAborted()
    const path = this.#path(key)
    await this.#checkFolder()
    const file = await absentIsUndefined(() => open(path))
    if (file === undefined) return undefined
    try {
      return await readFully(file, offsetBytes, lengthBytes)
    } finally {
      await file.close()
    }
  }

  async putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted()
    const path = this.#path(key)
    const partial = join(this.#root, `${PARTIAL}${randomBytes(8).toString('hex')}`)
    await this.#checkFolder()
    await mkdir(dirname(path), { recursive: true })
    await this.#checkFolder()
    try {
      await writeWhole(partial, body, this.#syncs)
      await link(partial, path)
      if (this.#syncs) await syncFolder(dirname(path))
      return true
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false
      throw folderError(`put ${key} in ${this.location}`, error)
    } finally {
      await absentIsUndefined(() => unlink(partial))
    }
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
    signal?.throwIfAborted()
    await this.#checkFolder()
    for await (const key of this.#keysBelow(folder, prefix)) {
      signal?.throwIfAborted()
      const facts = await absentIsUndefined(() => stat(this.#path(key)))
      if (facts !== undefined) yield { key, bytes: facts.size, modifiedMs: Math.floor(facts.mtimeMs) }
    }
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    const path = this.#path(key)
    await this.#checkFolder()
    await absentIsUndefined(() => unlink(path))
  }

  /** A disk that is not mounted any more leaves an empty folder, or none: that is not "nothing there". */
  async #checkFolder(): Promise<void> {
    const facts = await absentIsUndefined(() => stat(this.#root))
    const identity = facts && `${facts.dev}:${facts.ino}`
    this.#identity ??= identity
    if (this.#identity === identity) return
    throw new RetryableError('StoreUnavailable', `${this.location} is not the folder that it was: is it still mounted?`)
  }

  /** Keys in order: names are compared as a whole key would be, a folder with its slash. */
  async *#keysBelow(folder: string, prefix: string): AsyncIterable<string> {
    const found = await absentIsUndefined(() => readdir(join(this.#root, folder), { withFileTypes: true }))
    const names = (found ?? []).map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort()
    for (const name of names) {
      const key = `${folder}${name}`
      if (key.startsWith(PARTIAL)) continue
      if (!key.startsWith(prefix) && !prefix.startsWith(key)) continue
      if (name.endsWith('/')) yield* this.#keysBelow(key, prefix)
      else if (key.startsWith(prefix)) yield key
    }
  }

  #path(key: string): string {
    if (key === '' || key.split('/').some((part) => part === '' || part.startsWith('.'))) {
      throw new TerminalError('ObjectNameInvalid', `${JSON.stringify(key)} cannot name an object in ${this.location}`)
    }
    return join(this.#root, key)
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

async function writeWhole(path: string, body: Uint8Array, syncs: boolean): Promise<void> {
  const file = await open(path, 'wx')
  try {
    await file.writeFile(body)
    if (syncs) await file.sync()
  } finally {
    await file.close()
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

async function absentIsUndefined<T>(act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act()
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw folderError('read the folder', error)
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code

/** A full or unreachable file system may recover; a refused one will not. */
function folderError(what: string, error: unknown): unknown {
  const code = codeOf(error)
  if (code === undefined || code === 'ABORT_ERR') return error
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new TerminalError('StoreRefused', `${what}: ${code}`, { cause: error })
  }
  return new RetryableError('StoreUnavailable', `${what}: ${code}`, { cause: error })
}
