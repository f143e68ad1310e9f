// Shares time equally between tenants, so that one tenant with thousands of objects does not delay the others.

import type { KubeObject } from '#shared/api/kinds.ts'

/** A pseudo-random number for each object. It is the same for the same salt and differs between salts. */
export function rankOf({ metadata }: KubeObject, salt: number): number {
  let hash = 0x811c9dc5 ^ (salt % 0x7fffffff)
  for (const char of metadata.uid ?? metadata.name) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) // so that the last character affects the upper bits, too
  return (hash ^ (hash >>> 13)) >>> 0
}

/** Each tenant's first item, then each tenant's second, and so on. */
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

/** If a tenant has more objects than the limit, their order changes with the salt, so that each of them gets its turn. */
export function shuffledWhere<Each extends KubeObject>(objects: Each[], limit: number, salt: number): Each[] {
  if (objects.length <= limit) return objects
  return objects
    .map((object) => ({ object, rank: rankOf(object, salt) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ object }) => object)
}
