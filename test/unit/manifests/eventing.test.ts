// Which events are sent, which function gets them, and how often delivery is tried: each kind reaches the function that does its step.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KINDS, type KindName, STEPPED_KINDS } from '#shared/api/kinds.ts'
import { CLONE_LABEL } from '#shared/domain/staging.ts'
import { PARKED, STEP_LABEL } from '#shared/domain/step-label.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { named, objectsIn, ofKind } from './load.ts'
import { granted, rulesOf } from './rights.ts'

type Watched = { apiVersion: string; kind: string; selector?: { matchExpressions?: object[] }; source: string }

const STEPS = Object.fromEntries(STEPPED_KINDS.map((kind) => [kind, KINDS[kind].step]))
const config = objectsIn('config')
const objects = objectsIn('eventing')
const triggers = ofKind(objects, 'Trigger')
const watched: Watched[] = ofKind(objects, 'ApiServerSource').flatMap(({ metadata, spec }) =>
  spec.resources.map((resource: object) => ({ ...resource, source: metadata.name })),
)
const eventing = suite('eventing')

function kindsOf(trigger: LooseObject): string[] {
  return JSON.stringify(trigger['spec'].filters).match(/(?<="kind":")\w+/g) ?? []
}

function seconds(iso8601: string): number {
  const [, minutes = 0, rest = 0] = /^PT(?:(\d+)M)?(?:(\d+)S)?$/.exec(iso8601) ?? []
  return 60 * Number(minutes) + Number(rest)
}

eventing('every kind that has a step is announced by exactly one source', () => {
  const kinds = watched.map(({ kind }) => kind).filter((kind) => kind !== 'PersistentVolumeClaim')
  assert.equal(kinds.sort(), [...STEPPED_KINDS].sort())
  for (const { kind, apiVersion } of watched) assert.is(apiVersion, KINDS[kind as KindName].apiVersion)
})

eventing('what is parked is outside of every selector, what has no label yet is inside', () => {
  const gate = [{ key: STEP_LABEL, operator: 'NotIn', values: [...PARKED] }]
  for (const { kind, selector } of watched) {
    if (kind === 'PersistentVolumeClaim')
      assert.equal(selector?.matchExpressions, [{ key: CLONE_LABEL, operator: 'Exists' }])
    else assert.equal(selector?.matchExpressions, gate, kind)
  }
})

// Knative guesses the plural from the kind, and cannot watch a CRD with another plural.
eventing('the plural of every announced kind is the one that Knative guesses', () => {
  for (const { kind } of watched) {
    const lower = kind.toLowerCase()
    const guess = lower.endsWith('s') ? `${lower}es` : lower.endsWith('y') ? `${lower.slice(0, -1)}ies` : `${lower}s`
    assert.is(KINDS[kind as KindName].plural, guess)
  }
})

eventing('transfers are announced by a source that no namespace restarts', () => {
  for (const kind of ['Upload', 'Download']) {
    const { source } = watched.find((resource) => resource.kind === kind)!
    assert.is(named(objects, 'ApiServerSource', source)['spec'].namespaceSelector, undefined)
    assert.is(named(objects, 'ApiServerSource', source).metadata.namespace, 'velero')
  }
})

eventing('the sources may watch what they announce, and nothing else', () => {
  const wanted = watched.flatMap(({ kind }) =>
    ['get', 'list', 'watch'].map((verb) => `${verb} ${KINDS[kind as KindName].plural}`),
  )
  assert.equal([...granted(rulesOf(config, 'dormouse-sources'))].sort(), wanted.sort())
  for (const { spec } of ofKind(objects, 'ApiServerSource')) {
    assert.is(spec.serviceAccountName, 'dormouse-sources')
    assert.is(spec.mode, 'Reference')
  }
})

eventing('each kind goes to the one function that does its step', () => {
  const routes = triggers.flatMap((trigger) =>
    kindsOf(trigger).map((kind) => [kind, trigger['spec'].subscriber.ref.name]),
  )
  const wanted = Object.entries({ ...STEPS, PersistentVolumeClaim: 'clone', BackupRepository: 'maintenance' })
  assert.equal(routes.sort(), wanted.map(([kind, step]) => [kind, `dormouse-${step}`]).sort())
})

for (const trigger of triggers) {
  const { name } = trigger.metadata
  const { delivery, filters, subscriber, broker } = trigger['spec']

  eventing(`${name} sends no news of what has left the selector`, () => {
    assert.equal(filters.at(-1), { not: { suffix: { type: '.delete' } } })
  })

  eventing(`${name} waits longer than its function may take, then tries again, then tells the sweep`, () => {
    const { timeoutSeconds } = named(config, 'Service', subscriber.ref.name)['spec'].template.spec
    assert.ok(seconds(delivery.timeout) > timeoutSeconds)
    assert.equal([delivery.retry, delivery.backoffPolicy, delivery.backoffDelay], [8, 'exponential', 'PT2S'])
    assert.is(delivery.deadLetterSink.ref.name, 'dormouse-sweep')
  })

  eventing(`${name} listens to the broker of both overlays`, () => {
    const brokers = ofKind(objects, 'Broker').filter(({ metadata }) => metadata.name === broker)
    assert.is(brokers.length, 2)
  })
}

eventing('the in-memory broker answers its sources at once', () => {
  const broker = named(objectsIn('eventing/brokers/imc'), 'Broker', 'dormouse')
  assert.is(broker.metadata.annotations?.['messaging.knative.dev/async-handler'], 'true')
})

eventing('the sweep is woken each minute, without a broker in between', () => {
  const ping = named(objects, 'PingSource', 'dormouse-sweep')
  assert.is(ping['spec'].schedule, '* * * * *')
  assert.equal(ping['spec'].sink.ref, { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name: 'dormouse-sweep' })
  named(config, 'Service', 'dormouse-sweep')
})

eventing('maintenance is woken once a day, without a broker in between', () => {
  const ping = named(objects, 'PingSource', 'dormouse-maintenance')
  assert.match(ping['spec'].schedule, /^\d+ \d+ \* \* \*$/)
  assert.is(ping['spec'].sink.ref.name, 'dormouse-maintenance')
  named(config, 'Service', 'dormouse-maintenance')
})

eventing.run()
