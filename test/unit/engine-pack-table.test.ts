import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { PackTable } from '#shared/repository/maintenance/pack-table.ts'
import { Random } from '#test/simulation/random.ts'

const test = suite('engine: table of packs')

const session = (n: number) => `${'0'.repeat(14)}${String(n).padStart(2, '0')}-${'b'.repeat(16)}-018bcfe56800-00000001`

test('the table behaves like a Map, over many packs with similar names', () => {
  const random = new Random(1)
  const table = new PackTable()
  const map = new Map<string, number>()
  for (let step = 0; step < 20_000; step++) {
    const name = random.chance(0.5) ? random.below(3000) : 0xffff_0000 + random.below(300)
    const high = random.chance(0.5) ? '00000000' : 'ffffffff'
    const pack = `${session(random.below(20))}/${high}${name.toString(16).padStart(8, '0')}`
    if (random.chance(0.2)) {
      table.delete(pack)
      map.delete(pack)
    } else {
      table.set(pack, step)
      map.set(pack, step)
    }
    assert.is(table.get(pack), map.get(pack))
  }
  assert.is(table.size, map.size)
  assert.equal([...table].sort(), [...map.keys()].sort())
  for (const [pack, value] of map) assert.is(table.get(pack), value)
  assert.not(table.has(`${session(50)}/0000000000000000`))
  table.add([...map.keys()][0]!)
  assert.is(table.get([...map.keys()][0]!), [...map.values()][0], 'a value stays when its pack is added again')
})

test('a text that is no name of a pack is refused, and a size beyond 4 GiB is reported as the largest', () => {
  const table = new PackTable()
  assert.throws(() => table.set('packs/x', 1), /not a pack reference/)
  table.set(`${session(1)}/00000000000000ff`, 2 ** 40)
  assert.is(table.get(`${session(1)}/00000000000000ff`), 2 ** 32 - 2)
})

test.run()
