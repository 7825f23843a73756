"""How the fields of rows are usually called: what a name says of what stands under it.

Names are in lower case, with underscores.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


QUESTIONS = _words(
    "question query problem prompt instruction input task request utterance user goal puzzle "
    "question_text user_query"
)
ANSWERS = _words(
    "answer answers response output completion target solution ground_truth correct correct_answer "
    "best_answer reply label gold final_answer expected_output assistant short_answers "
    "correct_answers"
)
CHOICES = _words("choices options candidates incorrect_answers distractors")
TOOL_KEYS = _words(
    "tool_calls function_call function_calls functions function tools available_tools api_calls "
    "apis tool_call calls"
)
TOOL_NAME_KEYS = _words("involved_classes involved_apis tools apis tool_names")
THINKING_KEYS = _words(
    "reasoning_content thinking thought thoughts think thinking_trajectory reasoning_trace"
)
WORKED_KEYS = _words(
    "rationale explanation solution solutions steps derivation proof cot chain_of_thought "
    "reasoning worked_solution step_by_step"
)
TEST_KEYS = _words(
    "test tests test_list unit_tests test_cases test_code public_tests private_tests "
    "challenge_test_list input_output assertions"
)
CODE_KEYS = _words(
    "code canonical_solution patch diff func function_code func_code_string source_code "
    "solution output response completion answer content text"
)
CONTEXT_KEYS = _words("context contexts ctxs passage passages documents evidence")
TEXT_KEYS = _words("text content story body article document passage markdown")
ABOUT_KEYS = _words("id url meta metadata source title date timestamp lang language")
LABEL_KEYS = _words("label labels category class intent topic")
EMOTION_KEYS = _words("emotion emotions sentiment mood feeling")
LANGUAGES = _words(
    "en de fr es it pt nl ru zh ja ko ar hi pl tr uk cs sv da fi el he hu ro vi th id "
    "english german french spanish italian portuguese dutch russian chinese japanese korean "
    "arabic hindi polish turkish ukrainian czech swedish"
)
COLUMNS = _words(
    "id question answer answers prompt response completion instruction input output text label "
    "source target category title context sentence query content name type emotion audio image "
    "path file filename transcript translation chosen rejected options choices subject"
)
