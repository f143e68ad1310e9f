// The rules of the router and of the event sources: system tests rely on them.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { guessedPlural, selectorText, sourceConfig } from '#test/environment/eventing/adapters.ts'
import { eventFrom, headersOf, newEvent } from '#test/environment/eventing/cloud-event.ts'
import { durationMs, isRetried, planOf } from '#test/environment/eventing/delivery-spec.ts'
import { checkFilters, type Filter, triggerTakes } from '#test/environment/eventing/filters.ts'
import { parseSchedule } from '#test/environment/eventing/schedule.ts'

const filters = suite('trigger filters')
const UPLOAD = { kind: 'Upload', type: 'dev.knative.apiserver.ref.update', name: 'upload-1' }

const cases: [string, Filter[], boolean][] = [
  ['exact asks for the whole value', [{ exact: { kind: 'Upload' } }], true],
  ['exact is not a prefix', [{ exact: { kind: 'Up' } }], false],
  ['prefix', [{ prefix: { type: 'dev.knative.apiserver.' } }], true],
  ['suffix', [{ suffix: { type: '.update' } }], true],
  ['not turns it round', [{ not: { suffix: { type: '.delete' } } }], true],
  ['not of a match', [{ not: { exact: { kind: 'Upload' } } }], false],
  ['any takes one of several', [{ any: [{ exact: { kind: 'Download' } }, { exact: { kind: 'Upload' } }] }], true],
  ['all takes every one', [{ all: [{ exact: { kind: 'Upload' } }, { exact: { name: 'upload-2' } }] }], false],
  ['filters beside each other are all asked', [{ exact: { kind: 'Upload' } }, { exact: { kind: 'Download' } }], false],
  ['attributes of one filter are all asked', [{ exact: { kind: 'Upload', name: 'upload-2' } }], false],
  ['an attribute that is not there does not match', [{ exact: { subject: '' } }], false],
]
for (const [rule, given, expected] of cases) {
  filters(rule, () => assert.is(triggerTakes({ filters: given }, UPLOAD), expected))
}

filters('the older form is exact, and an empty value asks for presence', () => {
  assert.is(triggerTakes({ filter: { attributes: { kind: 'Upload', name: '' } } }, UPLOAD), true)
  assert.is(triggerTakes({ filter: { attributes: { subject: '' } } }, UPLOAD), false)
  assert.is(triggerTakes({ filter: { attributes: { kind: 'Download' } } }, UPLOAD), false)
})

filters('the newer form replaces the older, and nothing lets everything through', () => {
  const both = { filters: [{ exact: { kind: 'Upload' } }], filter: { attributes: { kind: 'Download' } } }
  assert.is(triggerTakes(both, UPLOAD), true)
  assert.is(triggerTakes({}, UPLOAD), true)
})

filters('a dialect that the router does not know is an error, also deep inside', () => {
  const cesql = { cesql: "kind = 'Upload'" } as unknown as Filter
  assert.throws(() => checkFilters([{ all: [{ not: cesql }] }], 'Trigger t'), /Trigger t.*cesql/)
})
filters.run()

const delivery = suite('delivery')

delivery('exponential doubles from the first delay, linear adds it', () => {
  const exponential = planOf({ retry: 3, backoffPolicy: 'exponential', backoffDelay: 'PT2S', timeout: 'PT12M' })
  assert.equal([0, 1, 2].map(exponential.delayMs), [2000, 4000, 8000])
  assert.is(exponential.timeoutMs, 720_000)
  assert.equal([0, 1, 2].map(planOf({ backoffPolicy: 'linear', backoffDelay: 'PT0.5S' }).delayMs), [500, 1000, 1500])
})

delivery('the default is Knative’s: 10 retries from 0.2 s, exponential, no time limit', () => {
  const plan = planOf({})
  assert.equal([plan.retries, plan.delayMs(0), plan.delayMs(1), plan.timeoutMs], [10, 200, 400, undefined])
})

delivery('durations are ISO 8601', () => {
  assert.equal(['PT0.2S', 'PT1H30M', 'P1DT1S'].map(durationMs), [200, 5_400_000, 86_401_000])
  for (const wrong of ['2s', 'PT', 'P', 'P1M', '']) assert.throws(() => durationMs(wrong), /no ISO 8601/)
})

delivery('a broker tries 404, 408, 409, 429, 5xx and silence again, nothing else', () => {
  const retried = [0, 404, 408, 409, 429, 500, 502, 503, 504]
  assert.equal([0, 400, 401, 403, 404, 408, 409, 413, 422, 425, 429, 500, 502, 503, 504].filter(isRetried), retried)
})
delivery.run()

const events = suite('events')

events('binary mode comes out as it went in, empty attributes included', () => {
  const event = newEvent({ type: 't', source: '/s', namespace: '', subject: '/a b/ü' }, 'application/json', '{"a":1}')
  const back = eventFrom({ ...headersOf(event) }, event.body)
  assert.equal(back, event)
})

events('structured mode is read, and what is no event is none', () => {
  const text = JSON.stringify({ specversion: '1.0', id: '1', type: 't', source: 's', kind: 'Upload', data: { a: 1 } })
  const event = eventFrom({ 'content-type': 'application/cloudevents+json; charset=utf-8' }, Buffer.from(text))
  assert.is(event?.attributes['kind'], 'Upload')
  assert.is(event?.body.toString(), '{"a":1}')
  assert.is(eventFrom({ 'ce-type': 't' }, Buffer.from('')), undefined)
})
events.run()

const sources = suite('event sources')

sources('a label selector becomes the text of a query', () => {
  const values = ['running', 'queued', 'done']
  const text = selectorText({ matchExpressions: [{ key: 'dormouse.dev/step', operator: 'NotIn', values }] })
  assert.is(text, 'dormouse.dev/step notin (done,queued,running)')
  assert.is(selectorText({ matchLabels: { a: 'b' }, matchExpressions: [{ key: 'c', operator: 'Exists' }] }), 'a=b,c')
  assert.is(selectorText({ matchExpressions: [{ key: 'c', operator: 'DoesNotExist' }] }), '!c')
})

sources('plurals are guessed as Knative guesses them', () => {
  assert.equal(['Upload', 'Proxy', 'Class'].map(guessedPlural), ['uploads', 'proxies', 'classes'])
})

sources('the configuration is that of Knative’s controller', () => {
  const resources = [
    { apiVersion: 'v1', kind: 'PersistentVolumeClaim' },
    { apiVersion: 'g.example/v1', kind: 'Upload' },
  ]
  const source = { apiVersion: '', kind: '', metadata: { name: 's' }, spec: { resources, namespaceSelector: {} } }
  assert.equal(sourceConfig(source, ['a', 'b']), {
    namespaces: ['a', 'b'],
    allNamespaces: true,
    resources: [
      { gvr: { Group: '', Version: 'v1', Resource: 'persistentvolumeclaims' } },
      { gvr: { Group: 'g.example', Version: 'v1', Resource: 'uploads' } },
    ],
    mode: 'Reference',
  })
  const own = { ...source, spec: { resources } }
  assert.is(sourceConfig(own, ['default']).allNamespaces, false)
})
sources.run()

const schedules = suite('schedules')
const at = (text: string) => Date.parse(`${text}Z`)

schedules('five fields fire at second 0, six name the second', () => {
  assert.is(parseSchedule('* * * * *')(at('2026-11-21T10:11:00')), true)
  assert.is(parseSchedule('* * * * *')(at('2026-11-21T10:11:30')), false)
  assert.is(parseSchedule('*/10 * * * * *')(at('2026-11-21T10:11:30')), true)
})

schedules('lists, ranges, steps and shorthands', () => {
  assert.is(parseSchedule('5,10-20/5 3 * * *')(at('2026-11-21T03:15:00')), true)
  assert.is(parseSchedule('5,10-20/5 3 * * *')(at('2026-11-21T03:16:00')), false)
  assert.is(parseSchedule('@hourly')(at('2026-11-21T03:00:00')), true)
})

schedules('a day of the month and a day of the week: one of them is enough', () => {
  const either = parseSchedule('0 0 1 * 0')
  assert.is(either(at('2026-11-01T00:00:00')), true) // a Sunday, too
  assert.is(either(at('2026-12-01T00:00:00')), true)
  assert.is(either(at('2026-11-22T00:00:00')), true)
  assert.is(either(at('2026-11-21T00:00:00')), false)
})

schedules('what is not understood is an error', () => {
  for (const wrong of ['* * * *', '60 * * * *', '@every 1m', 'a * * * *']) assert.throws(() => parseSchedule(wrong))
})
schedules.run()
