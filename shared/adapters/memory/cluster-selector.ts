// Label selectors in the API server's text form, as `list` and an ApiServerSource use them.
// Grammar: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors

import { TerminalError } from '#shared/kernel/errors.ts'

type Labels = Readonly<Record<string, string>>
export type LabelTest = (labels: Labels | undefined) => boolean
type Rule = (labels: Labels) => boolean

const KEY = '[A-Za-z0-9][-A-Za-z0-9_./]*'
const SET_RULE = new RegExp(`^(${KEY})\\s+(in|notin)\\s*\\(([^()]*)\\)$`)
const EQUALITY_RULE = new RegExp(`^(${KEY})\\s*(==|=|!=)\\s*([-A-Za-z0-9_.]*)$`)
const PRESENCE_RULE = new RegExp(`^(!?)\\s*(${KEY})$`)

/** An empty selector matches everything. `notin` and `!=` also match objects without the label, as in the API server. */
export function parseLabelSelector(selector: string | undefined): LabelTest {
  // Commas inside of parentheses belong to a rule's list of values.
  const texts = (selector ?? '').split(/,(?![^(]*\))/).map((text) => text.trim())
  const rules = texts.length === 1 && texts[0] === '' ? [] : texts.map(parseRule)
  return (labels = {}) => rules.every((rule) => rule(labels))
}

function parseRule(text: string): Rule {
  return setRule(text) ?? equalityRule(text) ?? presenceRule(text) ?? refuse(text)
}

function setRule(text: string): Rule | undefined {
  const [, key, operator, list] = SET_RULE.exec(text) ?? []
  if (key === undefined || list === undefined) return undefined
  const values = new Set(list.split(',').map((value) => value.trim()))
  return (labels) => {
    const value = labels[key]
    const listed = value !== undefined && values.has(value)
    return operator === 'in' ? listed : !listed
  }
}

function equalityRule(text: string): Rule | undefined {
  const [, key, operator, wanted] = EQUALITY_RULE.exec(text) ?? []
  if (key === undefined) return undefined
  return (labels) => (labels[key] === wanted) === (operator !== '!=')
}

function presenceRule(text: string): Rule | undefined {
  const [, not, key] = PRESENCE_RULE.exec(text) ?? []
  if (key === undefined) return undefined
  return (labels) => (labels[key] !== undefined) === (not === '')
}

function refuse(text: string): never {
  throw new TerminalError('InvalidObject', `label selector rule ${JSON.stringify(text)} cannot be read`)
}
