// The side bar. Only its order is written here: the titles are those of the pages, and a page that no group
// names stands in the last one.
import type { DefaultTheme } from 'vitepress'
import { CHINESE } from './pages.ts'
import type { Page } from './pages.ts'
import type { Section } from './reference.ts'

interface Group {
  readonly english: string
  readonly chinese: string
  /** Pages without their ending, or where the names of several begin. */
  readonly pages: readonly string[]
}

const GROUPS: readonly Group[] = [
  {
    english: 'Start',
    chinese: '入门',
    pages: ['index', 'documentation', 'getting-started', 'demo', 'which-way', 'installing', 'faq'],
  },
  {
    english: 'Use',
    chinese: '使用',
    pages: ['packages/core', 'orms', 'recipes', 'testing', 'errors', 'packages/nestjs'],
  },
  {
    english: 'Brokers',
    chinese: '消息中间件',
    pages: ['packages/rabbitmq', 'packages/rocketmq', 'rocketmq', 'packages/kafka', 'kafka'],
  },
  {
    english: 'Stores',
    chinese: '存储',
    pages: ['packages/postgres', 'packages/mysql', 'packages/mongodb', 'packages/redis', 'packages/sqlite'],
  },
  { english: 'Run it', chinese: '运维', pages: ['operations', 'upgrading', 'hostile-senders'] },
  { english: 'Understand', chinese: '原理', pages: ['guarantees', 'design', 'glossary'] },
  {
    english: 'Extend',
    chinese: '扩展',
    pages: ['write-a-store', 'write-a-broker-adapter', 'packages/conformance'],
  },
]
const REST = { english: 'More', chinese: '其他' }

/** The guides, of one language; what is not translated is there in English. */
export function guides(pages: readonly Page[], folder = ''): DefaultTheme.SidebarItem[] {
  const isChinese = folder === CHINESE
  const named = new Set(GROUPS.flatMap(({ pages: names }) => names))
  const unnamed = pages.map(nameOf).filter((name) => !named.has(name))
  const groups = [...GROUPS, { ...REST, pages: [...new Set(unnamed)] }]
  return groups.flatMap(({ english, chinese, pages: names }) => {
    const items = names.flatMap((name) => {
      const page = pages.find(({ path }) => path === `${folder}${name}.md`)
      const original = pages.find(({ path }) => path === `${name}.md`)
      if (page !== undefined) return [itemOf(page)]
      return original === undefined ? [] : [{ ...itemOf(original), text: `${original.title} (English)` }]
    })
    return items.length === 0 ? [] : [{ text: isChinese ? chinese : english, items }]
  })
}

function nameOf({ path }: Page): string {
  return (path.startsWith(CHINESE) ? path.slice(CHINESE.length) : path).replace(/\.md$/, '')
}

function itemOf({ path, title }: Page): DefaultTheme.SidebarItem {
  return { text: title, link: `/${path.replace(/(^|\/)index\.md$/, '$1').replace(/\.md$/, '')}` }
}

const REFERENCE = '/api/'

/** The reference: of each door its own, below the list of all, since one with all exports is too long. */
export function reference(doors: readonly Section[]): DefaultTheme.SidebarMulti {
  const all = {
    text: 'Packages',
    items: doors.map(({ title, path }) => ({ text: title, link: linkOf(path) })),
  }
  const bars = doors.map(({ title, path, children = [] }) => {
    const kinds = children.filter((each) => each.path === undefined)
    const exports = kinds.map((kind) => ({
      text: kind.title,
      items: (kind.children ?? []).map((each) => ({ text: each.title, link: linkOf(each.path) })),
    }))
    return [
      linkOf(path),
      [
        { text: title, items: exports },
        { ...all, collapsed: true },
      ],
    ] as const
  })
  return { [REFERENCE]: [all], ...Object.fromEntries(bars) }
}

function linkOf(path = ''): string {
  return REFERENCE + path.replace(/(^|\/)index\.md$/, '$1').replace(/\.md$/, '')
}
