// Reads one kind to its end, page by page. A namespace with very many objects is read last, so that it does not delay the others.

import type { SteppedKind } from '#shared/api/kinds.ts'
import type { KindTypes } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { glance } from '#shared/domain/glance.ts'
import { asError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import type { Page, PageOptions } from '#shared/ports/cluster.ts'

/** How much of a list one namespace may take before it is read last. */
const FLOOD_BYTES = 24 * MiB
/** A selector with more names would get too long. Further namespaces are read together with all others. */
const MOST_FLOODS = 50

export type Listing = {
  /** Every object of the kind was read, except those in `unseen`. */
  whole: boolean
  /** Namespaces that were not read to their end. */
  unseen: Set<string>
}

type ListingWork<Name extends SteppedKind> = {
  kind: Name
  options: PageOptions
  take: (object: KindTypes[Name]) => void
  isLate: () => boolean
  floodBytes?: number
}

/** Errors of one kind or one namespace are reported in the result and in the log. */
export async function listKind<Name extends SteppedKind>(deps: StepDeps, work: ListingWork<Name>): Promise<Listing> {
  const floods: string[] = []
  try {
    while (!(await readAll(deps, work, floods))) if (work.isLate()) return { whole: false, unseen: new Set() }
  } catch (error) {
    deps.log.warn({ kind: work.kind, err: asError(error) }, `could not list ${work.kind}s; the next sweep tries again`)
    return { whole: false, unseen: new Set() }
  }
  const unseen = new Set<string>()
  for (const namespace of floods) if (!(await readFlood(deps, work, namespace))) unseen.add(namespace)
  return { whole: true, unseen }
}

/** false: a namespace turned out to be a flood and is now in `floods`, or the time is over. */
async function readAll<Name extends SteppedKind>(
  deps: StepDeps,
  work: ListingWork<Name>,
  floods: string[],
): Promise<boolean> {
  const { kind, options, isLate, floodBytes = FLOOD_BYTES } = work
  const bytes = new Map<string, number>()
  for await (const page of pages(deps, work, { ...options, ...(floods.length > 0 ? { notNamespaces: floods } : {}) })) {
    takePage(work, page)
    if (isLate()) return page.next === undefined
    const flood = options.namespace === undefined ? count(bytes, page, floodBytes) : undefined
    if (flood === undefined || floods.length >= MOST_FLOODS || page.next === undefined) continue
    floods.push(flood)
    deps.log.warn({ kind, namespace: flood }, `${kind}s of namespace ${flood} take so much that they are read last`)
    return false
  }
  return true
}

async function readFlood<Name extends SteppedKind>(
  deps: StepDeps,
  work: ListingWork<Name>,
  namespace: string,
): Promise<boolean> {
  try {
    if (work.isLate()) return false
    for await (const page of pages(deps, work, { ...work.options, namespace })) {
      takePage(work, page)
      if (work.isLate()) return page.next === undefined
    }
    return true
  } catch (error) {
    deps.log.warn({ kind: work.kind, namespace, err: asError(error) }, 'could not list a namespace to its end')
    return false
  }
}

async function* pages<Name extends SteppedKind>(
  deps: StepDeps,
  { kind }: ListingWork<Name>,
  options: PageOptions,
): AsyncGenerator<Page<Name>> {
  let page = await deps.cluster.page(kind, options)
  for (;;) {
    yield page
    if (page.next === undefined) return
    page = await deps.cluster.page(kind, options, page.next)
  }
}

function takePage<Name extends SteppedKind>({ kind, take }: ListingWork<Name>, page: Page<Name>): void {
  for (const object of page.objects) take(glance(kind, object))
}

/** Returns the namespace that has passed the limit. A page's length is divided equally among its objects. */
function count(bytes: Map<string, number>, { objects, bytes: length }: Page, limit: number): string | undefined {
  for (const { metadata } of objects) {
    const namespace = metadata.namespace ?? ''
    const sum = (bytes.get(namespace) ?? 0) + length / objects.length
    bytes.set(namespace, sum)
    if (sum > limit) return namespace
  }
  return undefined
}
