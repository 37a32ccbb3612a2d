import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitepress'
import type { DefaultTheme, MarkdownRenderer } from 'vitepress'
import { guides, reference } from '../navigation.ts'
import { CHINESE, readPages, REPOSITORY, resolveLink } from '../pages.ts'
import { readSections } from '../reference.ts'
import { slugOf } from '../slug.ts'

const pages = readPages()

/** Links between files of the repository lead to the same on the site. */
function followLinks(markdown: MarkdownRenderer): void {
  markdown.core.ruler.push('links', ({ env, tokens }) => {
    const page = pages.find(({ path }) => path === (env as { relativePath?: string }).relativePath)
    if (page === undefined) return
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.type === 'link_open' ? token.attrGet('href') : null
      if (href !== null) token.attrSet('href', resolveLink(href, page, pages))
    }
  })
}

const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">' +
  '<rect width="32" height="32" rx="7" fill="#3451b2"/>' +
  '<path d="M12 11l5-4v18" fill="none" stroke="#fff" stroke-width="4"/></svg>'

const chinese: DefaultTheme.Config = {
  nav: [
    { text: '指南', link: '/zh/' },
    { text: 'API', link: '/api/' },
  ],
  sidebar: { '/zh/': guides(pages, CHINESE) },
  outline: { level: [2, 3], label: '本页目录' },
  docFooter: { prev: '上一页', next: '下一页' },
  darkModeSwitchLabel: '主题',
  lightModeSwitchTitle: '切换到浅色模式',
  darkModeSwitchTitle: '切换到深色模式',
  sidebarMenuLabel: '目录',
  returnToTopLabel: '回到顶部',
  langMenuLabel: '语言',
  notFound: { title: '页面不存在', quote: '', linkText: '回到首页' },
}

const search: DefaultTheme.LocalSearchOptions = {
  miniSearch: {
    options: {
      // Chinese has no spaces between its words. It runs in the browser too: it may use nothing of this file.
      tokenize: (text) => {
        const chinese = new Intl.Segmenter('zh', { granularity: 'word' })
        return text
          .split(/[\s\p{P}]+/u)
          .flatMap((part) =>
            /\p{Script=Han}/u.test(part)
              ? Array.from(chinese.segment(part), ({ segment }) => segment)
              : [part],
          )
      },
    },
    // Guides come first, and the doors of authors last.
    searchOptions: {
      boostDocument: (page: string) =>
        /\/api\/core\/(broker|store)\//.test(page) ? 0.2 : page.includes('/api/') ? 0.6 : 1,
    },
  },
  locales: {
    zh: {
      translations: {
        button: { buttonText: '搜索', buttonAriaLabel: '搜索' },
        modal: {
          displayDetails: '显示详情',
          resetButtonTitle: '清除',
          backButtonTitle: '关闭',
          noResultsText: '没有结果：',
          footer: { selectText: '打开', navigateText: '选择', closeText: '关闭' },
        },
      },
    },
  },
}

export default defineConfig({
  title: 'oncemq',
  description: 'Idempotent consumers for message brokers: the handler runs once per message',
  base: process.env['ONCEMQ_SITE_BASE'] ?? '/',
  srcDir: '.cache/pages',
  cacheDir: '.cache/vite',
  outDir: 'dist',
  cleanUrls: true,
  head: [['link', { rel: 'icon', href: `data:image/svg+xml,${encodeURIComponent(ICON)}` }]],
  metaChunk: true,
  locales: {
    root: { label: 'English', lang: 'en' },
    zh: { label: '简体中文', lang: 'zh-CN', themeConfig: chinese },
  },
  themeConfig: {
    nav: [
      { text: 'Guide', link: '/' },
      { text: 'API', link: '/api/' },
    ],
    sidebar: { '/': guides(pages), ...reference(readSections()) },
    outline: [2, 3],
    search: { provider: 'local', options: search },
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
    externalLinkIcon: false,
  },
  markdown: { anchor: { slugify: slugOf }, config: followLinks },
  vite: {
    build: { target: 'es2022', chunkSizeWarningLimit: 4000 },
    define: { __GUIDES__: JSON.stringify(pages.map(({ path }) => path)) },
    resolve: {
      alias: [
        {
          find: /^.*\/composables\/langs(\.js)?$/,
          replacement: fileURLToPath(new URL('./theme/langs.ts', import.meta.url)),
        },
      ],
    },
  },
})
