// Follows one kind until the environment ends: list, watch, and a new list when a watch ends.

import type { LooseObject } from '#test/support/loose-object.ts'
import type { Api, WatchEvent } from './api.ts'

type WatchOptions = {
  namespace?: string
  name?: string
  onObject: (object: LooseObject, type: WatchEvent['type']) => void
}

const RETRY_MS = 200

export class Watch {
  private readonly api: Api
  private readonly apiVersion: string
  private readonly kind: string
  private readonly options: WatchOptions
  private readonly ending = new AbortController()

  constructor(api: Api, apiVersion: string, kind: string, options: WatchOptions) {
    this.api = api
    this.apiVersion = apiVersion
    this.kind = kind
    this.options = options
  }

  /** Resolves when the existing objects were passed on; later ones follow. */
  async start(): Promise<void> {
    const path = await this.api.collection(this.apiVersion, this.kind, this.options.namespace)
    const from = await this.list(path)
    void this.follow(path, from)
  }

  stop(): void {
    this.ending.abort()
  }

  private async list(path: string): Promise<string> {
    const answer = await this.api.send('GET', `${path}?${new URLSearchParams(this.selector())}`)
    if (answer.status !== 200) throw new Error(`list ${path}: ${answer.status} ${answer.text}`)
    const list = JSON.parse(answer.text)
    for (const item of list.items) this.hand({ ...item, apiVersion: this.apiVersion, kind: this.kind }, 'ADDED')
    return list.metadata.resourceVersion
  }

  private async follow(path: string, from: string): Promise<void> {
    let resourceVersion: string | undefined = from
    while (!this.ending.signal.aborted) {
      try {
        resourceVersion ??= await this.list(path)
        const query = { ...this.selector(), resourceVersion, allowWatchBookmarks: 'true' }
        await this.api.watch(
          path,
          query,
          (event) => {
            // An ERROR means that the watch is too old: the next list contains what it missed.
            resourceVersion = event.type === 'ERROR' ? undefined : event.object.metadata.resourceVersion
            if (event.type !== 'ERROR' && event.type !== 'BOOKMARK') this.hand(event.object, event.type)
          },
          this.ending.signal,
        )
      } catch {
        resourceVersion = undefined
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
  }

  private selector(): Record<string, string> {
    return this.options.name === undefined ? {} : { fieldSelector: `metadata.name=${this.options.name}` }
  }

  private hand(object: LooseObject, type: WatchEvent['type']): void {
    if (!this.ending.signal.aborted) this.options.onObject(object, type)
  }
}
