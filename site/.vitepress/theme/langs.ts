// Stands in for the theme's own file of this name, which leads from each page to the same page in the other
// language, also where there is none: from the reference, and from what is not translated. There it leads to
// the other language's first page.
import { useData } from 'vitepress'
import { computed } from 'vue'

export function useLangs({ correspondingLink = false } = {}) {
  const { site, localeIndex, page, hash } = useData()
  const homeOf = (key: string): string => (key === 'root' ? '/' : `/${key}/`)
  const currentLang = computed(() => ({
    label: site.value.locales[localeIndex.value]?.label,
    link: homeOf(localeIndex.value),
  }))
  const localeLinks = computed(() =>
    Object.entries(site.value.locales)
      .filter(([key]) => key !== localeIndex.value)
      .map(([key, { label }]) => {
        const home = homeOf(key)
        const path = page.value.relativePath.slice(currentLang.value.link.length - 1)
        const isThere = correspondingLink && __GUIDES__.includes(home.slice(1) + path)
        const link = isThere ? home + path.replace(/(^|\/)index\.md$/, '$1').replace(/\.md$/, '') : home
        return { text: label, link: isThere ? link + hash.value : link }
      }),
  )
  return { localeLinks, currentLang }
}
