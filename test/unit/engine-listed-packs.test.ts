// Finding which packs of other sessions exist: with few requests and bounded memory, whatever else is in the bucket.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { StoredObject } from '#shared/ports/object-store.ts'
import { ListedPacks } from '#shared/repository/core/listed-packs.ts'
import { packKey } from '#shared/repository/format/names.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'

const test = suite('engine: listed packs')

const SESSION = '0123456789abcdef-0123456789abcdef-0123456789ab-01234567'
const OTHER = SESSION.replace(/7$/, '8')
/** Spread over all first digits, as random names are. */
const packOf = (session: string, n: number) =>
  `${session}/${((BigInt(n) * 0x9e3779b97f4a7c15n) & 0xffffffffffffffffn).toString(16).padStart(16, '0')}`

/** Records the LISTs, and the order of the names. */
class ListingStore extends MemoryObjectStore {
  readonly asked: string[] = []
  shuffled = false

  override async *list(prefix: string): AsyncIterable<StoredObject> {
    this.asked.push(prefix)
    const all: StoredObject[] = []
    for await (const one of super.list(prefix)) all.push(one)
    yield* this.shuffled ? all.reverse() : all
  }
}

async function aStore(count: number, session = SESSION, store = new ListingStore()): Promise<ListingStore> {
  for (let n = 1; n <= count; n++) await store.putIfAbsent(packKey(packOf(session, n)), new Uint8Array(1))
  return store
}

async function known(store: ListingStore, packs: string[], mostNames?: number): Promise<number> {
  return (await new ListedPacks(store, mostNames).among(packs)).size
}

const packs = (count: number, session = SESSION) => Array.from({ length: count }, (_, n) => packOf(session, n + 1))

test('one LIST of a small session finds existing packs, and no others', async () => {
  const store = await aStore(1000)
  assert.is(await known(store, packs(1010)), 1000)
  assert.equal(store.asked, [packKey(`${SESSION}/`)])
})

test('a large session is listed by first digits, side by side, and each pack of it is found', async () => {
  const store = await aStore(3000)
  assert.is(await known(store, packs(3010)), 3000)
  assert.is(store.asked.length, 17)
})

test('a store that lists in another order is understood all the same', async () => {
  const store = await aStore(3000)
  store.shuffled = true
  assert.is(await known(store, packs(3010)), 3000)
})

test('packs beyond the bound count as unknown and take no memory; the session that is asked for first has priority', async () => {
  const store = await aStore(1500)
  await aStore(10, OTHER, store)
  const listed = new ListedPacks(store, 1200)
  assert.is((await listed.among(packs(1500))).size, 1200)
  assert.is((await listed.among(packs(10, OTHER))).size, 0)
})

test('other keys below a session do not count as packs', async () => {
  const store = await aStore(3)
  for (const key of ['', 'x', 'sub/0000000000000001', '00000000000000010'])
    await store.putIfAbsent(packKey(`${SESSION}/${key}`), new Uint8Array(1))
  assert.is(await known(store, [...packs(3), `${SESSION}/x`, `${SESSION}/sub/0000000000000001`]), 3)
})

test.run()
