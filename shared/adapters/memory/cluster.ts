// A Kubernetes API in memory that passes the same contract as the real one (test/contract/cluster-suite.ts).

import { isDeepStrictEqual } from 'node:util'
import { KINDS, type KindName, type ObjectMeta } from '#shared/api/kinds.ts'
import type { KindTypes } from '#shared/api/types.ts'
import { fitted } from '#shared/domain/fit.ts'
import { type Clock, rfc3339 } from '#shared/kernel/clock.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import type { Cluster, Cursor, ListOptions, Page, PageOptions } from '#shared/ports/cluster.ts'
import {
  type ClusterEvent,
  type EventSelector,
  eventsOf,
  type Fault,
  Faults,
  type Verb,
  type WriteListener,
} from './cluster-faults.ts'
import {
  checkFields,
  checkNames,
  countsGenerations,
  foldStringData,
  generationMoves,
  mergePatch,
  overTheWire,
  refuse,
  type Stored,
  statusAtCreation,
  tidyMetadata,
} from './cluster-rules.ts'
import { parseLabelSelector } from './cluster-selector.ts'

type MemoryClusterOptions = {
  clock: Pick<Clock, 'nowMs'>
  /** For tests that need the same UIDs in every run. */
  newUid?: () => string
  /** Runs before each call: a simulation's seeded scheduler waits or throws here. */
  beforeCall?: (verb: Verb, kind: KindName, name: string | undefined) => Promise<void>
  /** Maximum number of objects in a page. */
  pageObjects?: number
}

const PAGE_OBJECTS = 500

type Key = `${string}/${string}/${string}`

export class MemoryCluster implements Cluster {
  readonly #clock: Pick<Clock, 'nowMs'>
  readonly #newUid: () => string
  readonly #beforeCall: MemoryClusterOptions['beforeCall']
  readonly #pageObjects: number
  readonly #objects = new Map<Key, Stored>()
  readonly #listeners = new Set<WriteListener>()
  readonly #faults = new Faults()
  #resourceVersion = 1000

  constructor(options: MemoryClusterOptions) {
    this.#clock = options.clock
    this.#newUid = options.newUid ?? (() => crypto.randomUUID())
    this.#beforeCall = options.beforeCall
    this.#pageObjects = options.pageObjects ?? PAGE_OBJECTS
  }

  nowMs(): number {
    return this.#clock.nowMs()
  }

  read<Name extends KindName>(
    kind: Name,
    namespace: string | undefined,
    name: string,
  ): Promise<KindTypes[Name] | undefined> {
    return this.#call('read', kind, name, () => {
      checkNames(kind, { namespace, name })
      return this.peek(kind, namespace, name) as KindTypes[Name] | undefined
    })
  }

  list<Name extends KindName>(kind: Name, options: ListOptions = {}): Promise<KindTypes[Name][]> {
    return this.#call('list', kind, undefined, () => this.#matching(kind, options) as KindTypes[Name][])
  }

  page<Name extends KindName>(kind: Name, options: PageOptions = {}, from?: Cursor): Promise<Page<Name>> {
    return this.#call('list', kind, undefined, () => {
      const left = this.#matching(kind, options).filter((object) => from === undefined || placeOf(object) > from.token)
      const objects = left.slice(0, Math.min(options.limit ?? PAGE_OBJECTS, this.#pageObjects))
      const [last] = objects.slice(-1)
      const next = last === undefined || objects.length === left.length ? undefined : { token: placeOf(last), limit: 0 }
      return { objects: objects as KindTypes[Name][], bytes: JSON.stringify(objects).length, next }
    })
  }

  create<Name extends KindName>(kind: Name, given: KindTypes[Name]): Promise<KindTypes[Name]> {
    const object: Stored = given
    return this.#call('create', kind, object.metadata.name, () => {
      const { resourceVersion, uid, deletionTimestamp, ...metadata } = object.metadata
      if (resourceVersion !== undefined) refuse(object, 'resourceVersion is set on an object to be created')
      const { status, ...rest } = fitted(object)
      const kept = statusAtCreation(kind, status)
      return this.#insert(kind, {
        ...rest,
        metadata,
        ...(kept === undefined ? {} : { status: kept }),
      }) as KindTypes[Name]
    })
  }

  patch<Name extends KindName>(kind: Name, seen: KindTypes[Name], change: object): Promise<KindTypes[Name]> {
    return this.#call('patch', kind, seen.metadata.name, () => {
      const { status, ...rest } = change as { status?: unknown }
      return this.#apply(kind, seen, KINDS[kind].statusSubresource ? rest : change) as KindTypes[Name]
    })
  }

  patchStatus<Name extends KindName>(kind: Name, seen: KindTypes[Name], status: object): Promise<KindTypes[Name]> {
    const act = () => this.#apply(kind, seen, { status }) as KindTypes[Name]
    return this.#call('patchStatus', kind, seen.metadata.name, act)
  }

  delete<Name extends KindName>(kind: Name, seen: KindTypes[Name], precondition?: 'unchanged'): Promise<void> {
    return this.#call('delete', kind, seen.metadata.name, () => this.#remove(kind, seen, precondition))
  }

  /** The stored object, without faults and scheduling: for a test's assertions. */
  peek<Name extends KindName>(kind: Name, namespace: string | undefined, name: string): KindTypes[Name] | undefined {
    const found = this.#objects.get(keyOf(kind, { namespace, name }))
    return found === undefined ? undefined : (overTheWire(found) as KindTypes[Name])
  }

  /** In the API server's order: by namespace and name. */
  peekAll<Name extends KindName>(kind: Name): KindTypes[Name][] {
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(`${kind}/`)).sort()
    return keys.map((key) => overTheWire(this.#objects.get(key) as KindTypes[Name]))
  }

  /** Stores an object as another actor would, including its status. */
  seed<Name extends KindName>(kind: Name, object: Stored): KindTypes[Name] {
    return this.#insert(kind, object) as KindTypes[Name]
  }

  /** Called within every write, after it is stored. The writer gets an error that it throws. Returns the function that removes it. */
  onWrite(listener: WriteListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The events of one `resources[]` entry of an ApiServerSource; an event is lost unless the callback stores it. */
  onEvent(selector: EventSelector, callback: (event: ClusterEvent) => void): () => void {
    return this.onWrite(eventsOf(selector, callback))
  }

  /** Makes the next matching call fail. */
  failNext(fault: Fault = {}): void {
    this.#faults.add(fault)
  }

  clearFaults(): void {
    this.#faults.clear()
  }

  #matching(kind: KindName, options: PageOptions): Stored[] {
    const { namespace, notNamespaces = [] } = options
    if (namespace !== undefined) checkNames(kind, { namespace, name: 'any' })
    const wanted = parseLabelSelector(options.labelSelector)
    return this.peekAll(kind).filter(
      ({ metadata }) =>
        wanted(metadata.labels) &&
        (namespace === undefined || namespace === metadata.namespace) &&
        !notNamespaces.includes(metadata.namespace ?? ''),
    )
  }

  async #call<T>(verb: Verb, kind: KindName, name: string | undefined, act: () => T): Promise<T> {
    await this.#beforeCall?.(verb, kind, name)
    return await this.#faults.around({ verb, kind, name }, act)
  }

  #insert(kind: KindName, given: Stored): Stored {
    const object = foldStringData(kind, overTheWire(given))
    const { apiVersion } = KINDS[kind]
    if (object.kind !== KINDS[kind].kind || object.apiVersion !== apiVersion)
      refuse(object, `is no ${kind} of ${apiVersion}`)
    checkNames(kind, object.metadata)
    checkFields(kind, object)
    if (this.#objects.has(keyOf(kind, object.metadata))) throw alreadyExists(object)
    object.metadata = {
      ...tidyMetadata(object.metadata),
      uid: this.#newUid(),
      creationTimestamp: rfc3339(this.#clock.nowMs()),
      ...(countsGenerations(kind) ? { generation: 1 } : {}),
    }
    return this.#store(kind, undefined, object)
  }

  #apply(kind: KindName, seen: Stored, change: object): Stored {
    const before = this.#current(kind, seen)
    const after = foldStringData(kind, mergePatch(before, overTheWire(fitted(change))) as Stored)
    after.metadata = this.#metadataAfter(before, after)
    checkFields(kind, after)
    if (generationMoves(kind, before, after)) after.metadata.generation = (before.metadata.generation ?? 0) + 1
    if (isDeepStrictEqual(before, after)) return overTheWire(before) // a write without a change does not change the version
    return this.#store(kind, before, after)
  }

  /** The server's own fields cannot be patched. */
  #metadataAfter(before: Stored, after: Stored): ObjectMeta {
    const { uid, resourceVersion, generation, creationTimestamp, deletionTimestamp } = before.metadata
    if (after.metadata.name !== before.metadata.name || after.metadata.namespace !== before.metadata.namespace) {
      refuse(before, 'name and namespace cannot change')
    }
    const known = new Set(before.metadata.finalizers)
    const added = after.metadata.finalizers?.find((finalizer) => !known.has(finalizer))
    if (deletionTimestamp !== undefined && added !== undefined) {
      refuse(before, `finalizer ${added} cannot be added, the object is being deleted`)
    }
    const own = { uid, resourceVersion, generation, creationTimestamp, deletionTimestamp }
    return tidyMetadata(overTheWire({ ...after.metadata, ...own }) as ObjectMeta)
  }

  #remove(kind: KindName, seen: Stored, precondition?: 'unchanged'): void {
    const before = this.#objects.get(keyOf(kind, seen.metadata))
    if (before === undefined) return
    if (precondition === 'unchanged') this.#current(kind, seen)
    if (seen.metadata.uid !== undefined && seen.metadata.uid !== before.metadata.uid) throw otherUid(before)
    if ((before.metadata.finalizers ?? []).length === 0) {
      this.#store(kind, before, undefined)
    } else if (before.metadata.deletionTimestamp === undefined) {
      const after = overTheWire(before)
      after.metadata.deletionTimestamp = rfc3339(this.#clock.nowMs())
      if (after.metadata.generation !== undefined) after.metadata.generation += 1
      this.#store(kind, before, after)
    }
  }

  #current(kind: KindName, seen: Stored): Stored {
    const current = this.#objects.get(keyOf(kind, seen.metadata))
    if (current === undefined) throw new ConflictError('NotFound', `${nameOf(seen)} is gone`)
    if (seen.metadata.uid !== undefined && seen.metadata.uid !== current.metadata.uid) throw otherUid(current)
    const { resourceVersion } = seen.metadata
    if (resourceVersion === undefined || resourceVersion === current.metadata.resourceVersion) return current
    throw new ConflictError('Conflict', `${nameOf(seen)} has changed since resourceVersion ${resourceVersion}`)
  }

  /** The only place that changes the stored objects. An `after` without finalizers is removed once it is being deleted. */
  #store(kind: KindName, before: Stored | undefined, after: Stored | undefined): Stored {
    const subject = (after ?? before) as Stored
    const key = keyOf(kind, subject.metadata)
    this.#resourceVersion += 1
    const result = overTheWire(subject)
    result.metadata.resourceVersion = String(this.#resourceVersion)
    const ends = result.metadata.deletionTimestamp !== undefined && (result.metadata.finalizers ?? []).length === 0
    const remains = after === undefined || ends ? undefined : result
    if (remains === undefined) this.#objects.delete(key)
    else this.#objects.set(key, remains)
    for (const listener of this.#listeners) listener(kind, overTheWire(before), overTheWire(remains))
    return overTheWire(result)
  }
}

function keyOf(kind: KindName, { namespace, name }: { namespace?: string | undefined; name: string }): Key {
  return `${kind}/${namespace ?? ''}/${name}`
}

/** In the order of `peekAll`. */
function placeOf({ metadata }: Stored): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`
}

function nameOf(object: Stored): string {
  const { namespace, name } = object.metadata
  return `${object.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`
}

function alreadyExists(object: Stored): ConflictError {
  return new ConflictError('AlreadyExists', `${nameOf(object)} exists already`)
}

function otherUid(current: Stored): ConflictError {
  return new ConflictError(
    'Conflict',
    `${nameOf(current)} is another one than was seen, it has uid ${current.metadata.uid}`,
  )
}
