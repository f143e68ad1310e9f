// The order in which every step runs, whatever its table says: what is written, when, and what makes the step look again.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { KINDS } from '#shared/api/kinds.ts'
import { type Controller, isPassing, type Result, runStep } from '#shared/controllers/controller.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { stepOf } from '#shared/domain/step-label.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { createStores } from '#shared/repository/stores/registry.ts'
import { reasonOf } from '#test/support/reason.ts'

type Step = { kind: 'work' } | { kind: 'instead' } | { kind: 'nothing' }
type Table = Controller<'Upload', StepDeps, Step>

const KIND = 'Upload'
const REF = { namespace: 'velero', name: 'upload-1' }
const DONE: Result<'Upload'> = { outcome: { status: { phase: 'Completed' }, step: 'done' }, why: 'did it' }

function aWorld(change: Partial<Table> = {}, act: () => Promise<Result<'Upload'>> = async () => DONE) {
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const cluster = new MemoryCluster({ clock: systemClock })
  const settings = readSettings({})
  const deps: StepDeps = {
    cluster,
    clock: systemClock,
    settings,
    identity: 'pod-1',
    log,
    stores: createStores(settings),
  }
  cluster.seed(KIND, {
    apiVersion: KINDS[KIND].apiVersion,
    kind: KIND,
    metadata: REF,
    spec: {},
    status: { phase: 'New' },
  })
  const table: Table = {
    kind: KIND,
    decide: (_deps, { status }) => ({ kind: status?.phase === 'New' ? 'work' : 'nothing' }),
    actions: {
      work: { act },
      instead: { atOnce: async () => ({ kind: 'work' }) },
      nothing: { atOnce: async () => 'nothing to do' },
    },
    failed: async (_work, { message }) => ({
      ...DONE,
      outcome: { status: { message }, step: 'waiting' },
      why: 'failed',
    }),
    ...change,
  }
  const run = (signal = new AbortController().signal) => runStep(table, deps, REF, signal)
  return { cluster, deps, table, run, now: () => cluster.peek(KIND, REF.namespace, REF.name) }
}

const steps = suite('a step')

steps('an object that is gone asks for nothing', async () => {
  const { cluster, run, now } = aWorld()
  await cluster.delete(KIND, now() as never)
  assert.is(await run(), 'gone')
})

steps('the outcome is written when the Lease is free, and its Event before', async () => {
  const event = ['Normal', 'Completed', 'it is done'] as const
  const told: unknown[] = []
  const { cluster, run, now } = aWorld(
    { after: async ({ object }) => void told.push(stepOf(object), cluster.peekAll('Event').length) },
    async () => ({ ...DONE, event }),
  )
  assert.is(await run(), 'did it')
  assert.equal([now()?.status?.phase, stepOf(now() as never)], ['Completed', 'done'])
  assert.equal(told, ['done', 1])
  assert.is(cluster.peekAll('Event')[0]?.['reason'], 'Completed')
  assert.is(cluster.peekAll('Lease')[0]?.spec?.holderIdentity, undefined)
})

steps('a row may answer another decision, which is acted on instead', async () => {
  const { run, now } = aWorld({ decide: () => ({ kind: 'instead' }) })
  assert.is(await run(), 'did it')
  assert.is(now()?.status?.phase, 'Completed')
})

steps('what fails is written as the table says; trouble of the API server writes nothing', async () => {
  const failing = aWorld({}, async () => {
    throw new Error('no disk')
  })
  assert.is(await failing.run(), 'failed')
  assert.is(failing.now()?.status?.message, 'no disk')
  for (const error of [RetryableError, TerminalError]) {
    const { run, now } = aWorld({}, async () => {
      throw new error('KubernetesRefused', 'not now', { origin: 'api' })
    })
    assert.is(await reasonOf(run()), 'KubernetesRefused')
    assert.equal([now()?.['status'], stepOf(now() as never)], [{ phase: 'New' }, 'running'])
  }
})

const REFUSED = new TerminalError('VolumeNotFound', 'no vCenter at vc.example knows the disk a1')
const REFUSING: [where: string, change: (refuse: () => Promise<never>) => Partial<Table>][] = [
  ['the decision', (refuse) => ({ decide: refuse })],
  [
    'a row that is done at once',
    (refuse) => ({
      decide: () => ({ kind: 'nothing' }),
      actions: { ...aWorld().table.actions, nothing: { atOnce: refuse } },
    }),
  ],
]
for (const [where, change] of REFUSING) {
  steps(
    `what fails for good in ${where} is shown by one Event, without a server's words, and tried again`,
    async () => {
      const tried: string[] = []
      const { cluster, run, now } = aWorld(
        change(async () => {
          tried.push('once')
          throw new TerminalError(REFUSED.reason, `${REFUSED.message}, attempt ${tried.length}`)
        }),
      )
      const before = now()
      for (let attempt = 1; attempt <= 2; attempt++) {
        const error = await run().catch((thrown: unknown) => thrown)
        assert.ok(error instanceof RetryableError)
        assert.equal([error.reason, error.retryAfterSeconds], [REFUSED.reason, 60])
        assert.is(error.message, `${REFUSED.message}, attempt ${attempt}`, 'the log has the whole message')
      }
      const events = cluster.peekAll('Event')
      assert.equal(
        events.map(({ type, reason, involvedObject }) => [type, reason, involvedObject.name]),
        [['Warning', REFUSED.reason, REF.name]],
      )
      assert.not.match(String(events[0]?.['message']), /vc\.example/)
      assert.equal(now(), before)
    },
  )

  steps(`trouble of the API server in ${where} is no failure of the object`, async () => {
    const { cluster, run } = aWorld(
      change(async () => {
        throw new TerminalError('KubernetesRefused', 'not now', { origin: 'api' })
      }),
    )
    const error = await run().catch((thrown: unknown) => thrown)
    assert.ok(error instanceof TerminalError)
    assert.equal(cluster.peekAll('Event'), [])
  })
}

steps('what was asked for meanwhile is decided on at once, unless the request ends', async () => {
  const goesOn: Table['goesOn'] = async () => true
  assert.is(await aWorld({ goesOn }).run(), 'nothing to do')
  const ending = new AbortController()
  const { run } = aWorld({ goesOn }, async () => {
    ending.abort()
    return DONE
  })
  assert.is(await run(ending.signal), 'did it')
})

steps('a second process leaves work in progress to the first', async () => {
  const { run } = aWorld({}, async () => {
    assert.is(await run(), 'claimed elsewhere')
    return DONE
  })
  assert.is(await run(), 'did it')
})

steps('errors that may pass are those that can be retried, and missing rights', () => {
  assert.ok(isPassing(new RetryableError('VCenterBusy', '')))
  assert.not(isPassing(new RetryableError('KubernetesUnavailable', '', { origin: 'api' })))
  assert.equal(
    ['Forbidden', 'QuotaExceeded', 'SnapshotIDInvalid'].map((reason) => isPassing(new TerminalError(reason, ''))),
    [true, false, false],
  )
  assert.ok(isPassing(new TerminalError('QuotaExceeded', ''), ['QuotaExceeded']))
})

steps.run()
