// The garbage collection protocol of docs/format, as a model: every order of the steps of sessions, collectors, a deletion, and a session that
// continues from one that was given up. The model has the retire list and the second look. It leaves out the lists of waits and dooms with which
// the real prune continues after a death, except that a sleeper reads a doom list. engine-prune-interleavings.test.ts covers the rest in
// seeded orders.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { explore, type Process, type Step } from '#test/support/interleavings.ts'

/** What the bucket holds. A root lists the packs that it names; 'tombstone' means that the session was fenced. */
type Bucket = {
  packs: string[]
  roots: Record<string, string[] | 'tombstone'>
  sessions: string[]
  index: Record<string, string[]>
  retire: Record<string, string[]>
  doom: Record<string, string[]>
  checkpoints: Record<string, { name: string; packs: string[] }>
  /** The checkpoint that a session's tombstone names. */
  goesBy: Record<string, string>
}

/** What a process remembers between its steps. */
type Memory = { packs: string[]; doomed: string[]; sessions: string[]; retired: string[] }
type Actor = Process<Bucket, Memory>

const memory = (): Memory => ({ packs: [], doomed: [], sessions: [], retired: [] })
const sessionOf = (pack: string): string => pack.slice(0, 1)
const hasEnded = (bucket: Bucket, session: string): boolean => bucket.roots[session] !== undefined
const liveRoots = (bucket: Bucket): string[][] => Object.values(bucket.roots).filter((root) => root !== 'tombstone')
const named = (bucket: Bucket, pack: string): boolean => liveRoots(bucket).some((root) => root.includes(pack))

/** A backup that reuses everything it may, and adds a pack of its own. */
function session(name: string, parent: string, order: 'as documented' | 'retire lists first' = 'as documented'): Actor {
  const enter: Step<Bucket, Memory> = (bucket) => void bucket.sessions.push(name)
  const readRetired: Step<Bucket, Memory> = (bucket, own) => {
    own.retired = Object.values(bucket.retire).flat()
    return undefined
  }
  const first = order === 'as documented' ? [enter, readRetired] : [readRetired, enter]
  return {
    name,
    memory: memory(),
    steps: [
      ...first,
      (bucket, own) => {
        const root = bucket.roots[parent]
        const known = [
          ...Object.values(bucket.index).flat(),
          ...(root === undefined || root === 'tombstone' ? [] : root),
        ]
        own.packs = [...new Set(known)].filter((pack) => !own.retired.includes(pack)).sort()
        return undefined
      },
      (bucket, own) => {
        bucket.packs.push(`${name}1`)
        own.packs.push(`${name}1`)
        return undefined
      },
      (bucket) => {
        bucket.index[name] = [`${name}1`]
        return undefined
      },
      (bucket, own) => {
        bucket.roots[name] ??= own.packs
        return undefined
      },
    ],
  }
}

/** A backup of two slices: the first reads its parent's root, the second takes over what that root names. */
function slicedSession(name: string, parent: string, later: 'what the first slice read' | 'what stands then'): Actor {
  const readRetired: Step<Bucket, Memory> = (bucket, own) => {
    own.retired = Object.values(bucket.retire).flat()
    return undefined
  }
  return {
    name,
    memory: memory(),
    steps: [
      (bucket) => void bucket.sessions.push(name),
      readRetired,
      (bucket, own) => {
        const root = bucket.roots[parent]
        own.packs = root === undefined || root === 'tombstone' ? [] : root
        return undefined
      },
      later === 'what stands then' ? readRetired : () => undefined,
      (bucket, own) => {
        bucket.roots[name] ??= own.packs.filter((pack) => !own.retired.includes(pack))
        return undefined
      },
    ],
  }
}

const removeDoomed: Step<Bucket, Memory> = (bucket, own) => {
  bucket.packs = bucket.packs.filter((pack) => !own.doomed.includes(pack))
  return undefined
}

/** `fences`: gives up a session that has not ended, instead of waiting for it. */
function collector(name: string, fences: boolean, leaves: 'nothing' | 'the second look' = 'nothing'): Actor {
  return {
    name,
    memory: memory(),
    steps: [
      (bucket, own) => {
        own.packs = [...bucket.packs]
        return undefined
      },
      (bucket, own) => {
        own.doomed = own.packs.filter((pack) => !named(bucket, pack) && hasEnded(bucket, sessionOf(pack)))
        return undefined
      },
      (bucket, own) => {
        bucket.retire[name] = own.doomed
        return undefined
      },
      (bucket, own) => {
        own.sessions = [...bucket.sessions]
        return undefined
      },
      (bucket, own) => {
        const active = own.sessions.filter((each) => !hasEnded(bucket, each))
        if (active.length > 0 && !fences) return 'wait'
        for (const each of active) bucket.roots[each] = 'tombstone'
        return undefined
      },
      (bucket, own) => {
        if (leaves === 'the second look') return undefined
        own.doomed = own.doomed.filter((pack) => !named(bucket, pack))
        bucket.doom[name] = own.doomed
        return undefined
      },
      (bucket, own) => {
        for (const [run, packs] of Object.entries(bucket.index)) {
          bucket.index[run] = packs.filter((pack) => !own.doomed.includes(pack))
        }
        return undefined
      },
      removeDoomed,
      (bucket) => {
        delete bucket.retire[name]
        delete bucket.doom[name]
        return undefined
      },
    ],
  }
}

/** A collector that helps another one, and is paused before it deletes what the other's list dooms. */
function sleeper(name: string, other: string): Actor {
  return {
    name,
    memory: memory(),
    steps: [
      (bucket, own) => {
        if (bucket.retire[other] === undefined || bucket.doom[other] === undefined) return 'wait'
        own.doomed = bucket.doom[other]
        return undefined
      },
      removeDoomed,
    ],
  }
}

/** Stores a pack, in two attempts because the first got no answer, and records it in a checkpoint. Then its time is over. */
function unfinished(name: string): Actor {
  const put: Step<Bucket, Memory> = (bucket) => {
    if (!bucket.packs.includes(`${name}1`)) bucket.packs.push(`${name}1`)
    return undefined
  }
  return {
    name,
    memory: memory(),
    steps: [
      (bucket) => void bucket.sessions.push(name),
      put,
      put,
      (bucket) => {
        bucket.checkpoints[name] = { name: `${name}-1`, packs: [`${name}1`] }
        return undefined
      },
    ],
  }
}

/** Gives a session up, and records the checkpoint from which another session may continue. */
function abandoner(name: string, session: string): Actor {
  return {
    name,
    memory: memory(),
    steps: [
      (bucket, own) => {
        own.packs = Object.values(bucket.checkpoints).map((checkpoint) => checkpoint.name)
        return undefined
      },
      (bucket, own) => {
        const [newest] = own.packs
        if (bucket.roots[session] === undefined && newest !== undefined) bucket.goesBy[session] = newest
        bucket.roots[session] ??= 'tombstone'
        return undefined
      },
    ],
  }
}

/** Continues from the checkpoint of `other`, and stores nothing of its own. */
function goingOn(name: string, other: string, heeds: 'its end' | 'nothing'): Actor {
  return {
    name,
    memory: memory(),
    steps: [
      (bucket) => void bucket.sessions.push(name),
      (bucket, own) => {
        own.retired = Object.values(bucket.retire).flat()
        return undefined
      },
      (bucket, own) => {
        const checkpoint = bucket.checkpoints[other]
        own.packs = checkpoint?.packs ?? []
        own.sessions = checkpoint === undefined ? [] : [checkpoint.name]
        return undefined
      },
      (bucket, own) => {
        const isAsNamed = bucket.goesBy[other] !== undefined && own.sessions.includes(bucket.goesBy[other])
        if (heeds === 'its end' && bucket.roots[other] !== undefined && !isAsNamed) own.packs = []
        return undefined
      },
      (bucket, own) => {
        own.packs = own.packs.filter((pack) => bucket.packs.includes(pack) && !own.retired.includes(pack))
        return undefined
      },
      (bucket, own) => {
        bucket.roots[name] ??= own.packs
        return undefined
      },
    ],
  }
}

/** Deletes the backup of a session: removes its root, then writes a tombstone. */
function forgetter(session: string): Actor {
  return {
    name: 'F',
    memory: memory(),
    steps: [
      (bucket) => {
        delete bucket.roots[session]
        return undefined
      },
      (bucket) => {
        bucket.roots[session] ??= 'tombstone'
        return undefined
      },
    ],
  }
}

/** The backup of session A, with a pack A1 that its root names, and a pack A2 that only an index run names. */
const bucket = (): Bucket => ({
  packs: ['A1', 'A2'],
  roots: { A: ['A1'] },
  sessions: ['A'],
  index: { A: ['A1', 'A2'] },
  retire: {},
  doom: {},
  checkpoints: {},
  goesBy: {},
})

/** Safety: no root may ever name a pack that is gone. */
function nothingIsLost({ packs, roots }: Bucket, path: string): void {
  for (const [name, root] of Object.entries(roots)) {
    for (const pack of root === 'tombstone' ? [] : root) {
      if (!packs.includes(pack)) throw new Error(`root ${name} names ${pack}, which is gone, after${path}`)
    }
  }
}

const test = suite('format: collection, modelled')

for (const fences of [false, true]) {
  const how = fences ? 'fences' : 'waits for'
  test(`a collector that ${how} sessions never takes a pack from a backup`, () => {
    const actors = [session('B', 'A'), collector('g', fences), forgetter('A')]
    assert.ok(explore(bucket(), actors, nothingIsLost) > 500)
  })

  test(`two sessions and a collector that ${how} them lose nothing`, () => {
    explore(bucket(), [session('B', 'A'), session('C', 'B'), collector('g', fences)], nothingIsLost)
  })

  test(`two collectors, one of which ${how} sessions, lose nothing`, () => {
    explore(bucket(), [session('B', 'A'), collector('g', fences), collector('h', true)], nothingIsLost)
  })
}

/** B may name A1 while it is retired, because B began earlier; C begins from B, which is deleted before C takes anything over. */
const threeGenerations = (later: Parameters<typeof slicedSession>[2]) => [
  slicedSession('B', 'A', 'what the first slice read'),
  slicedSession('C', 'B', later),
  collector('g', false),
  forgetter('A'),
  forgetter('B'),
]

test('a session of two slices keeps to what was retired when it began, whatever happens to its parent', () => {
  assert.ok(explore(bucket(), threeGenerations('what the first slice read'), nothingIsLost) > 5000)
})

test('the model notices when a later slice looks at the retire lists as they are then', () => {
  assert.throws(() => explore(bucket(), threeGenerations('what stands then'), nothingIsLost), /C names A/)
})

/** X is given up half-way and does not notice; B continues from it while two collectors, one of them paused, delete its packs. */
const goesOn = (heeds: Parameters<typeof goingOn>[2]) => [
  unfinished('X'),
  abandoner('a', 'X'),
  goingOn('B', 'X', heeds),
  collector('g', false),
  sleeper('h', 'g'),
]

test('a session that continues from one that was given up loses nothing', () => {
  let tookOver = false
  const states = explore(bucket(), goesOn('its end'), (world, path) => {
    nothingIsLost(world, path)
    tookOver ||= world.roots['X'] === 'tombstone' && (world.roots['B'] ?? []).includes('X1')
  })
  assert.ok(states > 5000, `${states} states`)
  assert.ok(tookOver, 'nobody ever went on')
})

test('the model notices when a checkpoint is heeded that a session wrote after its end', () => {
  assert.throws(() => explore(bucket(), goesOn('nothing'), nothingIsLost), /B names X1/)
})

test('packs that no backup needs are deleted in the end', () => {
  let collected = false
  explore(bucket(), [collector('g', false)], ({ packs }) => {
    collected ||= !packs.includes('A2') && packs.includes('A1')
  })
  assert.ok(collected)
})

test('the model notices when a session reads the retire lists before it announces itself', () => {
  const hasty = session('B', 'A', 'retire lists first')
  assert.throws(() => explore(bucket(), [hasty, collector('g', false)], nothingIsLost), /B names A/)
})

test('the model notices when a collector does not look a second time', () => {
  const careless = collector('g', false, 'the second look')
  assert.throws(() => explore(bucket(), [session('B', 'A'), careless], nothingIsLost), /B names A/)
})

test.run()
