// The few small files that a function needs on its own disk, such as VDDK's settings.

import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { asError, RetryableError } from '#shared/kernel/errors.ts'

/** RetryableError `ScratchUnavailable` when the disk is full or cannot be written. */
export class Scratch {
  readonly #place: string
  #folder: Promise<string> | undefined

  constructor(place = tmpdir()) {
    this.#place = place
  }

  /** Created when first needed, and again after a failure. */
  folder(): Promise<string> {
    const folder = this.#folder ?? mkdtemp(join(this.#place, 'dormouse-'))
    this.#folder = folder
    return folder.catch((error: unknown) => {
      if (this.#folder === folder) this.#folder = undefined
      throw this.#unavailable(error)
    })
  }

  /** Returns the file's path. */
  async write(name: string, text: string): Promise<string> {
    const file = join(await this.folder(), name)
    try {
      await writeFile(file, text)
      return file
    } catch (error) {
      throw this.#unavailable(error)
    }
  }

  #unavailable(thrown: unknown): RetryableError {
    const cause = asError(thrown)
    const what = `the Pod cannot write below ${this.#place}: ${cause.message}`
    return new RetryableError('ScratchUnavailable', `${what}. Is the node's disk full, or read-only?`, { cause })
  }
}
