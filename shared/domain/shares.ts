// Who gets how much: of many tenants each the same, so that one with thousands of objects keeps none of the others waiting.

import type { KubeObject } from '#shared/api/kinds.ts'

/** A number for each object that looks random, differs from one `salt` to the next, and is the same for the same salt. */
export function rankOf({ metadata }: KubeObject, salt: number): number {
  let hash = 0x811c9dc5 ^ (salt % 0x7fffffff)
  for (const char of metadata.uid ?? metadata.name) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) // the last character moves the upper bits, too
  return (hash ^ (hash >>> 13)) >>> 0
}

/** Each tenant's first, then each tenant's second, and so on. */
export function* inRounds<T>(items: Iterable<T>, tenantOf: (item: T) => string): Generator<T> {
  let queues = [...Map.groupBy(items, tenantOf).values()].map((list) => list.values())
  while (queues.length > 0) {
    const going: typeof queues = []
    for (const queue of queues) {
      const { value, done } = queue.next()
      if (done === true) continue
      yield value
      going.push(queue)
    }
    queues = going
  }
}

/** Whoever has more than the limit is looked at in an order that changes, so that each of them has its turn. */
export function shuffledWhere<Each extends KubeObject>(objects: Each[], limit: number, salt: number): Each[] {
  if (objects.length <= limit) return objects
  return objects
    .map((object) => ({ object, rank: rankOf(object, salt) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ object }) => object)
}
