"""Generated sentence pairs of our own: what people say to the assistant of a phone.

Called by `make demo` and by tests, where a contest is needed and nobody's data may be shipped.
"""

import random
from dataclasses import dataclass
from pathlib import Path

_POLITE = ("", "", "", "请", "帮我", "麻烦你", "请帮我", "我想", "小助手")
_TAIL = ("", "", "", "吧", "一下", "好吗", "谢谢", "可以吗")
_WHEN = (
    "今天",
    "明天",
    "后天",
    "周一",
    "周二",
    "周三",
    "周四",
    "周五",
    "周六",
    "周日",
    "早上",
    "中午",
    "下午",
    "晚上",
    "月底",
    "下周",
)
_PLACE = (
    "北京",
    "上海",
    "广州",
    "深圳",
    "杭州",
    "成都",
    "武汉",
    "西安",
    "南京",
    "重庆",
    "天津",
    "苏州",
    "长沙",
    "青岛",
    "厦门",
    "昆明",
)
_PERSON = (
    "妈妈",
    "爸爸",
    "老王",
    "小李",
    "张三",
    "奶奶",
    "王经理",
    "同学",
    "老师",
    "哥哥",
    "小红",
    "李医生",
    "快递员",
    "房东",
    "司机",
    "客服",
)
_SONG = (
    "七里香",
    "晴天",
    "后来",
    "平凡之路",
    "十年",
    "稻香",
    "南山南",
    "成都",
    "童年",
    "光辉岁月",
    "海阔天空",
    "夜曲",
    "小苹果",
    "红豆",
    "传奇",
    "默",
)
_APP = (
    "相机",
    "微信",
    "日历",
    "地图",
    "相册",
    "计算器",
    "浏览器",
    "音乐",
    "邮箱",
    "天气",
    "备忘录",
    "设置",
    "视频",
    "游戏",
    "录音机",
    "手电筒",
)
_THING = (
    "开会",
    "吃药",
    "买菜",
    "交电费",
    "接孩子",
    "写作业",
    "取快递",
    "跑步",
    "还书",
    "浇花",
    "喂猫",
    "洗车",
    "上课",
    "面试",
    "缴房租",
    "打疫苗",
)


@dataclass(frozen=True)
class _Intent:
    """Ways to say one thing; {x} and {y} are what it is about."""

    phrasings: tuple[str, ...]
    x: tuple[str, ...]
    y: tuple[str, ...] = ("",)


_INTENTS = (
    _Intent(
        ("{y}{x}天气怎么样", "{x}{y}会下雨吗", "查{x}{y}的天气", "{y}去{x}要带伞吗", "{x}{y}热不热"), _PLACE, _WHEN
    ),
    _Intent(("给{x}打电话", "拨打{x}的号码", "打个电话给{x}", "呼叫{x}", "联系{x}"), _PERSON),
    _Intent(("给{x}发短信说{y}", "发消息告诉{x}{y}", "发条信息给{x}说{y}", "通知{x}{y}"), _PERSON, _THING),
    _Intent(("播放{x}", "放一首{x}", "我要听{x}", "来一首{x}", "唱一下{x}"), _SONG),
    _Intent(("打开{x}", "启动{x}", "进入{x}", "把{x}打开", "运行{x}"), _APP),
    _Intent(("关闭{x}", "退出{x}", "把{x}关掉", "关上{x}", "不用{x}了"), _APP),
    _Intent(("{x}提醒我{y}", "设一个{x}{y}的提醒", "{x}叫我{y}", "别忘了{x}要{y}", "记一下{x}{y}"), _WHEN, _THING),
    _Intent(("取消{x}{y}的提醒", "不用提醒我{x}{y}了", "删掉{x}{y}的闹钟", "{x}{y}不用叫我了"), _WHEN, _THING),
    _Intent(("怎么去{x}", "导航到{x}", "去{x}的路线", "{x}怎么走", "带我去{x}"), _PLACE),
    _Intent(("订{y}去{x}的票", "买一张{y}到{x}的车票", "{y}飞{x}的机票", "帮订{x}{y}的票"), _PLACE, _WHEN),
    _Intent(("{x}有什么好吃的", "推荐{x}的餐厅", "{x}美食", "在{x}吃什么好"), _PLACE),
    _Intent(("卸载{x}", "删除{x}这个软件", "把{x}删了", "移除{x}"), _APP),
)
_SWAPS = str.maketrans("的么在怎打给", "地嘛再咋搭跟")


@dataclass(frozen=True)
class _Meaning:
    """An intent and what it is about."""

    intent: int
    x: str
    y: str


def write_sample(
    train: Path, test: Path, answers: Path, *, rows: int = 8000, test_rows: int = 1000, seed: int = 7
) -> None:
    """Write a train file (a, b, label), a test file (a, b) and the test's answers (0 or 1 a line).

    About 37% of the pairs mean the same. 3% of the labels are wrong on purpose, as people's are. Negatives share most
    of their words as often as not. The same seed writes the same bytes.
    """
    draw = random.Random(seed)  # noqa: S311 - sample data, no secret
    pairs: dict[tuple[str, str], int] = {}
    uses: dict[str, int] = {}
    while len(pairs) < rows + test_rows:
        a, b, label = _pair(draw)
        # a sentence that stands in few pairs keeps the connected components small, so that a split is possible
        if a == b or (a, b) in pairs or (b, a) in pairs or uses.get(a, 0) > 1 or uses.get(b, 0) > 1:
            continue
        pairs[a, b] = label if draw.random() > 0.03 else 1 - label
        uses[a], uses[b] = uses.get(a, 0) + 1, uses.get(b, 0) + 1
    lines = [f"{a}\t{b}\t{label}" for (a, b), label in pairs.items()]
    train.write_text("\n".join(lines[:rows]) + "\n", encoding="utf-8")
    test.write_text("\n".join(line.rpartition("\t")[0] for line in lines[rows:]) + "\n", encoding="utf-8")
    answers.write_text("\n".join(line.rpartition("\t")[2] for line in lines[rows:]) + "\n", encoding="utf-8")


def _pair(draw: random.Random) -> tuple[str, str, int]:
    meaning = _meaning(draw, draw.randrange(len(_INTENTS)))
    label = int(draw.random() < 0.37)
    other = meaning if label else _other(draw, meaning)
    return _say(draw, meaning), _say(draw, other), label


def _meaning(draw: random.Random, intent: int) -> _Meaning:
    return _Meaning(intent, draw.choice(_INTENTS[intent].x), draw.choice(_INTENTS[intent].y))


def _other(draw: random.Random, meaning: _Meaning) -> _Meaning:
    """Another meaning; half the time it differs only in what it is about, or only in what is to be done with it."""
    same_things = [i for i, item in enumerate(_INTENTS) if i != meaning.intent and meaning.x in item.x]
    kind = draw.random()
    while True:
        if kind < 0.35:
            other = _meaning(draw, meaning.intent)
        elif kind < 0.6 and same_things:
            intent = draw.choice(same_things)
            y = meaning.y if meaning.y in _INTENTS[intent].y else draw.choice(_INTENTS[intent].y)
            other = _Meaning(intent, meaning.x, y)
        else:
            other = _meaning(draw, draw.randrange(len(_INTENTS)))
        if other != meaning:
            return other


def _say(draw: random.Random, meaning: _Meaning) -> str:
    text = draw.choice(_INTENTS[meaning.intent].phrasings).format(x=meaning.x, y=meaning.y)
    text = draw.choice(_POLITE) + text + draw.choice(_TAIL)
    if draw.random() < 0.06:  # a slip of the keyboard
        text = text.translate(_SWAPS)
    return text
